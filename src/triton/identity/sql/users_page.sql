-- Users, the newest first; of one tenant, or of all.
SELECT id, login, name, coalesce(tenant, '') AS tenant, role, password_hash IS NOT NULL AS has_password,
       disabled_at IS NOT NULL AS disabled, created_at, created_by, last_login_at
  FROM users
 WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
   AND (%(last_at)s::timestamptz IS NULL OR (created_at, id) < (%(last_at)s, %(last)s))
 ORDER BY created_at DESC, id DESC LIMIT %(limit)s
