-- A secret's next version; `version` is the one that was sealed for.
INSERT INTO tenant_secrets AS s (tenant, name, version, key, nonce, sealed, updated_at, updated_by)
VALUES (%(tenant)s, %(name)s, %(version)s, %(key)s, %(nonce)s, %(sealed)s, clock_timestamp(), %(by)s)
ON CONFLICT (tenant, name) DO UPDATE
SET version = EXCLUDED.version, key = EXCLUDED.key, nonce = EXCLUDED.nonce, sealed = EXCLUDED.sealed,
    updated_at = EXCLUDED.updated_at, updated_by = EXCLUDED.updated_by
