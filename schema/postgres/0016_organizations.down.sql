DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenant_configs', 'clients', 'dashboard_templates', 'prompts', 'models', 'documents',
        'enhancement_history', 'tenant_secrets', 'webhook_sources', 'webhook_targets']
    LOOP
        EXECUTE format('DROP TRIGGER organization ON %I', name);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', name, name || '_organization');
    END LOOP;
END $$;
DROP FUNCTION keep_organization();
