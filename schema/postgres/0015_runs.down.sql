REVOKE INSERT (tenant, settings, updated_at, updated_by), UPDATE (settings, version, updated_at, updated_by)
    ON tenant_configs FROM triton_tenant;
DROP INDEX enhancement_history_newest;
ALTER TABLE enhancement_history DROP COLUMN version;
ALTER TABLE enhancement_history RENAME COLUMN created_by TO by;
ALTER TABLE enhancement_history RENAME COLUMN created_at TO at;
DROP INDEX evaluations_newest;
ALTER TABLE evaluations DROP COLUMN version, DROP COLUMN created_by, DROP COLUMN updated_at, DROP COLUMN updated_by;
ALTER TABLE evaluations RENAME COLUMN created_at TO at;
DROP INDEX executions_newest;
ALTER TABLE executions RENAME CONSTRAINT executions_tenant_prompt_version_fkey TO executions_tenant_prompt_prompt_version_fkey;
ALTER TABLE executions DROP CONSTRAINT executions_times, DROP COLUMN version, DROP COLUMN created_at,
    DROP COLUMN created_by, DROP COLUMN updated_at, DROP COLUMN updated_by;
