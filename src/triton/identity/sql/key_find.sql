-- A key with its owner's standing, so that one look says whether it still counts.
SELECT k.prefix, k.sha256, coalesce(k.tenant, '') AS tenant, k.role, k.scopes, k.expires_at,
       k.revoked_at IS NOT NULL AS revoked,
       coalesce(k.owner, '') AS owner, coalesce(u.role, '') AS owner_role, coalesce(u.tenant, '') AS owner_tenant,
       u.disabled_at IS NOT NULL OR o.disabled_at IS NOT NULL AS disabled
  FROM api_keys k
  LEFT JOIN users u ON u.id = k.owner
  LEFT JOIN organizations o ON o.id = k.tenant
 WHERE k.prefix = %(prefix)s
