-- Ends a session; answers nothing where it has ended.
UPDATE sessions SET ended_at = clock_timestamp(), ended_why = %(why)s
 WHERE id = %(session)s AND ended_at IS NULL
RETURNING "user"
