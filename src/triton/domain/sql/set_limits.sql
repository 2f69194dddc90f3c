-- What a tenant may use from now on. By the tables' owner: the tenant's own role may only read it.
INSERT INTO tenant_configs AS c
    (tenant, jobs_per_second, max_pending, max_stored_bytes, max_streams, updated_by)
VALUES (%(tenant)s, %(jobs_per_second)s, %(max_pending)s, %(max_stored_bytes)s, %(max_streams)s, %(by)s)
ON CONFLICT (tenant) DO UPDATE
SET jobs_per_second = EXCLUDED.jobs_per_second, max_pending = EXCLUDED.max_pending,
    max_stored_bytes = EXCLUDED.max_stored_bytes, max_streams = EXCLUDED.max_streams,
    version = c.version + 1, updated_at = clock_timestamp(), updated_by = EXCLUDED.updated_by
