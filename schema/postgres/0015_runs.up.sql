-- Executions, evaluations and enhancements become records of the API: with a version, and who made and changed
-- them. A tenant's settings can be written by its own role; what it may use cannot.

-- While rows are filled in, the owner has to see them.
ALTER TABLE executions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE evaluations NO FORCE ROW LEVEL SECURITY;

ALTER TABLE executions
    ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN created_at timestamptz,
    ADD COLUMN created_by text NOT NULL DEFAULT 'system:migration',
    ADD COLUMN updated_at timestamptz,
    ADD COLUMN updated_by text NOT NULL DEFAULT 'system:migration',
    ADD CONSTRAINT executions_times CHECK (started_at >= '1970-01-01 00:00:00+00' AND coalesce(finished_at, started_at) < '9999-01-01 00:00:00+00');
UPDATE executions SET created_at = started_at, updated_at = coalesce(finished_at, started_at);
ALTER TABLE executions
    ALTER COLUMN created_at SET NOT NULL, ALTER COLUMN updated_at SET NOT NULL,
    ALTER COLUMN created_by DROP DEFAULT, ALTER COLUMN updated_by DROP DEFAULT;
-- Its last part is the field that a client is told of.
ALTER TABLE executions RENAME CONSTRAINT executions_tenant_prompt_prompt_version_fkey TO executions_tenant_prompt_version_fkey;
CREATE INDEX executions_newest ON executions (tenant, created_at, id);

ALTER TABLE evaluations RENAME COLUMN at TO created_at;
ALTER TABLE evaluations
    ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN created_by text NOT NULL DEFAULT 'system:migration',
    ADD COLUMN updated_at timestamptz,
    ADD COLUMN updated_by text NOT NULL DEFAULT 'system:migration';
UPDATE evaluations SET updated_at = created_at;
ALTER TABLE evaluations
    ALTER COLUMN updated_at SET NOT NULL,
    ALTER COLUMN created_by DROP DEFAULT, ALTER COLUMN updated_by DROP DEFAULT;
CREATE INDEX evaluations_newest ON evaluations (tenant, created_at, id);

ALTER TABLE executions FORCE ROW LEVEL SECURITY;
ALTER TABLE evaluations FORCE ROW LEVEL SECURITY;

-- History is added to and never changed: its version stays 1.
ALTER TABLE enhancement_history RENAME COLUMN at TO created_at;
ALTER TABLE enhancement_history RENAME COLUMN by TO created_by;
ALTER TABLE enhancement_history ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version = 1);
CREATE INDEX enhancement_history_newest ON enhancement_history (tenant, created_at, id);

GRANT INSERT (tenant, settings, updated_at, updated_by), UPDATE (settings, version, updated_at, updated_by)
    ON tenant_configs TO triton_tenant;
