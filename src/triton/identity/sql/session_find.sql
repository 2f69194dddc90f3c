-- A session with its user's standing, so that one look says whether a token of it still counts.
SELECT s.id, s.ended_at IS NOT NULL AS ended, s.created_at, u.id AS "user", u.role, coalesce(u.tenant, '') AS tenant,
       u.disabled_at IS NOT NULL OR o.disabled_at IS NOT NULL AS disabled
  FROM sessions s
  JOIN users u ON u.id = s."user"
  LEFT JOIN organizations o ON o.id = u.tenant
 WHERE s.id = %(session)s
