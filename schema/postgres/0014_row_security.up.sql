-- Row-level security, forced, on every table that has a tenant: also on those that are filled from the log, and
-- on those of identities. Two policies each:
--   tenant_rows    whoever has set a tenant sees its rows. A setting that was taken back is an empty text: no tenant.
--   platform_rows  the tables' owner, while it has set none, sees all: projectors, the archiver, commands.
-- The role triton_tenant owns nothing, so without a tenant it sees nothing.
--
-- COPY into a table under row-level security is refused to whoever is held by it: an owner that is neither a
-- superuser nor has BYPASSRLS. Its projectors go by temporary tables (triton.projections.copying).
DO $$
DECLARE
    name text;
    owner text;
    rule text;
BEGIN
    FOREACH name IN ARRAY ARRAY['job_submissions', 'job_states', 'job_events', 'lost_events', 'failed_jobs',
        'retention', 'webhook_tenants', 'secret_tenants', 'organizations', 'users', 'api_keys']
    LOOP
        rule := CASE name
            -- A job's state has no tenant of its own: it is its submission's, which is read under these policies.
            WHEN 'job_states' THEN 'EXISTS (SELECT FROM job_submissions s WHERE s.job = job_states.job)'
            WHEN 'organizations' THEN 'id = nullif(current_setting(''triton.tenant'', true), '''')'
            ELSE 'tenant = nullif(current_setting(''triton.tenant'', true), '''')' END;
        EXECUTE format('CREATE POLICY tenant_rows ON %I USING (%s) WITH CHECK (%s)', name, rule, rule);
        SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = quote_ident(name)::regclass;
        rule := 'coalesce(current_setting(''triton.tenant'', true), '''') = ''''';
        EXECUTE format('CREATE POLICY platform_rows ON %I TO %I USING (%s) WITH CHECK (%s)', name, owner, rule, rule);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    END LOOP;
END $$;

-- Views ask with the rights, and under the policies, of whoever asks them.
ALTER VIEW jobs SET (security_invoker = true);
ALTER VIEW dead_letters SET (security_invoker = true);
CREATE OR REPLACE VIEW generation_jobs WITH (security_invoker = true) AS SELECT * FROM jobs;
COMMENT ON VIEW generation_jobs IS 'The view jobs under the name that the domain knows it by.';

-- A tenant reads what the log says of its jobs, and changes none of it.
GRANT SELECT ON job_submissions, job_states, job_events, failed_jobs, jobs, dead_letters TO triton_tenant;
-- How far projectors are, and which jobs they have not all events of; not what these events hold.
GRANT SELECT ON checkpoints TO triton_tenant;
GRANT SELECT (projector, partition, position, job) ON parked_events TO triton_tenant;
