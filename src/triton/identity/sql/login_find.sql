-- The person with a login, and whether they are let in at all.
SELECT u.id, u.role, coalesce(u.tenant, '') AS tenant, u.password_hash,
       u.disabled_at IS NOT NULL OR o.disabled_at IS NOT NULL AS disabled
  FROM users u LEFT JOIN organizations o ON o.id = u.tenant
 WHERE u.login = %(login)s
