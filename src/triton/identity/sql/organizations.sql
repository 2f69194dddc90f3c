SELECT id, name, created_at, created_by, disabled_at IS NOT NULL AS disabled FROM organizations
 WHERE %(id)s::text IS NULL OR id = %(id)s
 ORDER BY id
