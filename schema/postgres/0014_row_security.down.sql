REVOKE SELECT (projector, partition, position, job) ON parked_events FROM triton_tenant;
REVOKE SELECT ON job_submissions, job_states, job_events, failed_jobs, jobs, dead_letters, checkpoints FROM triton_tenant;
CREATE OR REPLACE VIEW generation_jobs WITH (security_barrier) AS
SELECT * FROM jobs
WHERE current_user <> 'triton_tenant' OR tenant = current_setting('triton.tenant', true);
ALTER VIEW dead_letters RESET (security_invoker);
ALTER VIEW jobs RESET (security_invoker);
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['job_submissions', 'job_states', 'job_events', 'lost_events', 'failed_jobs',
        'retention', 'webhook_tenants', 'secret_tenants', 'organizations', 'users', 'api_keys']
    LOOP
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', name);
        EXECUTE format('DROP POLICY platform_rows ON %I', name);
        EXECUTE format('DROP POLICY tenant_rows ON %I', name);
    END LOOP;
END $$;
