-- The role stays: other databases of the server may use it.
DROP VIEW generation_jobs;
DROP TABLE enhancement_history, evaluations, executions, models, prompt_versions, prompts, roi_models,
    prospect_dashboard_data, prospects, dashboard_templates, value_propositions, clients, tenant_configs;
DROP FUNCTION keep_prompt_version();

REVOKE ALL ON documents, extraction_lineage FROM triton_tenant;
DROP POLICY tenant_rows ON extraction_lineage;
DROP POLICY tenant_rows ON documents;
ALTER TABLE extraction_lineage NO FORCE ROW LEVEL SECURITY;
ALTER TABLE extraction_lineage DISABLE ROW LEVEL SECURITY;
ALTER TABLE documents NO FORCE ROW LEVEL SECURITY;
ALTER TABLE documents DISABLE ROW LEVEL SECURITY;
DROP INDEX extraction_lineage_tenant_document;
ALTER TABLE extraction_lineage DROP CONSTRAINT extraction_lineage_tenant, DROP COLUMN tenant;
ALTER TABLE documents DROP CONSTRAINT documents_tenant_check, DROP CONSTRAINT documents_tenant_id;
