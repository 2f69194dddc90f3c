DROP TABLE webhook_deliveries, webhook_targets, webhook_sources, tenant_secrets, webhook_tenants, secret_tenants;
DROP FUNCTION keep_webhook_tenant(), keep_secret_tenant(), forget_webhook_secret();
DELETE FROM checkpoints WHERE projector = 'webhooks';
