-- What a tenant's applications keep; no row is nothing, at version 0.
SELECT tenant, settings, version, updated_at, updated_by FROM tenant_configs WHERE tenant = %(tenant)s
