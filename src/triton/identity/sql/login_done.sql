-- Nothing where the password became another one, or the account was disabled, while it was looked at.
UPDATE users SET last_login_at = clock_timestamp(), password_hash = coalesce(nullif(%(hash)s, ''), password_hash)
 WHERE id = %(user)s AND password_hash = %(checked)s AND disabled_at IS NULL
RETURNING id
