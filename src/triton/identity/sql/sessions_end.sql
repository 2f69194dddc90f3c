-- Ends all sessions of a user but one; answers which.
UPDATE sessions SET ended_at = clock_timestamp(), ended_why = %(why)s
 WHERE "user" = %(user)s AND ended_at IS NULL AND id <> %(but)s
RETURNING id
