-- A refresh token; those of sessions that ended long ago go with their sessions elsewhere.
INSERT INTO refresh_tokens (sha256, session, expires_at)
VALUES (%(sha256)s, %(session)s,
        clock_timestamp() + %(lifetime_ms)s * interval '1 millisecond')
