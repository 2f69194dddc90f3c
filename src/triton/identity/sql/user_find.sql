-- By id, or by login.
SELECT id, login, name, coalesce(tenant, '') AS tenant, role, password_hash IS NOT NULL AS has_password,
       password_hash, disabled_at IS NOT NULL AS disabled, created_at, created_by, last_login_at
  FROM users WHERE id = %(user)s OR login = %(user)s
 ORDER BY (id = %(user)s) DESC LIMIT 1
