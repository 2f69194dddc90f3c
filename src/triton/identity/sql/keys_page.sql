-- Keys, the newest first; of one tenant or of all, of one owner or of all.
SELECT prefix, name, coalesce(tenant, '') AS tenant, role, scopes, coalesce(owner, '') AS owner, created_at, created_by,
       expires_at, last_used_at, revoked_at, coalesce(revoked_by, '') AS revoked_by
  FROM api_keys
 WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
   AND (%(owner)s::text IS NULL OR owner = %(owner)s)
   AND (%(prefix)s::text IS NULL OR prefix = %(prefix)s)
   AND (%(last_at)s::timestamptz IS NULL OR (created_at, prefix) < (%(last_at)s, %(last)s))
 ORDER BY created_at DESC, prefix DESC LIMIT %(limit)s
