-- One sealed secret of the tenant.
SELECT key, nonce, sealed, version FROM tenant_secrets WHERE tenant = %(tenant)s AND name = %(name)s
