-- What a tenant may use; no row is no limit.
SELECT jobs_per_second, max_pending, max_stored_bytes, max_streams FROM tenant_configs WHERE tenant = %(tenant)s
