UPDATE users SET last_login_at = clock_timestamp(), password_hash = coalesce(nullif(%(hash)s, ''), password_hash)
 WHERE id = %(user)s
