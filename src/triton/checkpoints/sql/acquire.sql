-- Takes a checkpoint over, if nobody holds it: the lease ran out, or the session that took it has ended; or with a push.
-- A new fence makes every earlier holder's commit fail. Answers the checkpoint, or no row.
INSERT INTO checkpoints
    (projector, partition, epoch, position, digest, owner, fence, backend, leased_until, updated_at)
VALUES (%(projector)s, %(partition)s, %(epoch)s, 0, '', %(owner)s, 1, pg_backend_pid(),
        clock_timestamp() + make_interval(secs => %(seconds)s), clock_timestamp())
ON CONFLICT (projector, partition) DO UPDATE
SET owner = excluded.owner, fence = checkpoints.fence + 1, backend = excluded.backend,
    leased_until = excluded.leased_until
WHERE %(push)s
   OR checkpoints.leased_until < clock_timestamp()
   OR checkpoints.owner = excluded.owner
   OR NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = checkpoints.backend)
RETURNING epoch, position, digest, fence
