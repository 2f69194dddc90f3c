-- What a tenant has belongs to an organization. Who is of the platform may work for a tenant that nobody has added,
-- as jobs of it may be in the log: then its first record, document or quota adds the organization, by its id.

CREATE FUNCTION keep_organization() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO organizations (id, name, created_by) VALUES (NEW.tenant, NEW.tenant, 'system:first-record')
    ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;

-- All others of a tenant's tables refer to one of these, with their tenant.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenant_configs', 'clients', 'dashboard_templates', 'prompts', 'models', 'documents',
        'enhancement_history', 'tenant_secrets', 'webhook_sources', 'webhook_targets']
    LOOP
        -- While rows of all tenants are read, the owner has to see them.
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('INSERT INTO organizations (id, name, created_by) SELECT DISTINCT tenant, tenant, ''system:migration'' FROM %I ON CONFLICT DO NOTHING', name);
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I FOREIGN KEY (tenant) REFERENCES organizations (id)', name, name || '_organization');
        EXECUTE format('CREATE TRIGGER organization BEFORE INSERT ON %I FOR EACH ROW EXECUTE FUNCTION keep_organization()', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    END LOOP;
END $$;
