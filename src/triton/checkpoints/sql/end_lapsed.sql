-- Ends the session of a holder whose lease ran out: stopped in the middle of a transaction, it would keep the
-- checkpoint's row locked for ever. A session that began after the lease was last extended is another one's.
SELECT pg_terminate_backend(a.pid)
FROM checkpoints AS c JOIN pg_stat_activity AS a ON a.pid = c.backend
WHERE c.projector = %(projector)s AND c.partition = %(partition)s AND c.owner <> %(owner)s
  AND c.leased_until < clock_timestamp() AND c.leased_until <> '-infinity'
  AND a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()
  AND a.backend_start < c.leased_until - make_interval(secs => %(seconds)s)
