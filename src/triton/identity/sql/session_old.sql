-- Answers a row where a session is older than it may be refreshed.
SELECT 1 AS old FROM sessions
 WHERE id = %(session)s AND created_at < clock_timestamp() - %(session_ms)s * interval '1 millisecond'
