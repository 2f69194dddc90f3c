-- What a tenant's applications keep from now on, where that is at a version that the client knows: 0 for none
-- yet, null for any. What the tenant may use lies in the same row and stays.
INSERT INTO tenant_configs AS c (tenant, settings, updated_at, updated_by)
SELECT %(tenant)s, %(settings)s, %(at)s, %(by)s
WHERE %(versions)s::integer[] IS NULL OR 0 = ANY(%(versions)s)
   OR EXISTS (SELECT FROM tenant_configs WHERE tenant = %(tenant)s)
ON CONFLICT (tenant) DO UPDATE
SET settings = EXCLUDED.settings, version = c.version + 1, updated_at = EXCLUDED.updated_at,
    updated_by = EXCLUDED.updated_by
WHERE %(versions)s::integer[] IS NULL OR c.version = ANY(%(versions)s)
RETURNING tenant, settings, version, updated_at, updated_by
