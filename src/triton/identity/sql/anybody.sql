-- Whether there is anybody who can log in or holds a key: else this is the first start.
SELECT EXISTS (SELECT FROM users WHERE disabled_at IS NULL)
    OR EXISTS (SELECT FROM api_keys
                WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()))
