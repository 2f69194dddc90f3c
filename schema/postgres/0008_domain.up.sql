-- The domain's data: every table belongs to tenants, and row-level security holds them apart, also against
-- their owner. Who reads or writes here sets the tenant for one transaction (triton.domain.connection);
-- without one there are no rows, and none can be written.
--
-- Keys begin with the tenant, so that no reference can lead to another tenant's row: foreign keys are checked
-- without row-level security.

-- The role of all work in a tenant's name: no login, no ownership, no way around row-level security. A role
-- belongs to the whole server, so it may be there already, made by another database's migration or by hand.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'triton_tenant') THEN
        BEGIN
            CREATE ROLE triton_tenant NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'there is no role triton_tenant, and % may not make one: let an administrator run CREATE ROLE triton_tenant NOLOGIN; GRANT triton_tenant TO %', current_user, current_user;
        END;
    END IF;
    IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = 'triton_tenant') THEN
        RAISE EXCEPTION 'the role triton_tenant passes row-level security: ALTER ROLE triton_tenant NOSUPERUSER NOBYPASSRLS';
    END IF;
    IF NOT pg_has_role(current_user, 'triton_tenant', 'MEMBER') THEN
        EXECUTE format('GRANT triton_tenant TO %I', current_user);
    END IF;
END $$;

CREATE TABLE tenant_configs (
    tenant           text COLLATE "C" PRIMARY KEY CHECK (tenant <> ''),
    -- Limits; null is none.
    jobs_per_second  double precision CHECK (jobs_per_second > 0),
    max_pending      bigint CHECK (max_pending >= 0),
    max_stored_bytes bigint CHECK (max_stored_bytes >= 0),
    max_streams      integer CHECK (max_streams >= 0),
    -- What the tenant's own applications keep here.
    settings         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    version          integer NOT NULL DEFAULT 1 CHECK (version > 0),
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_by       text NOT NULL
);

CREATE TABLE clients (
    tenant        text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id            uuid NOT NULL,
    name          text NOT NULL CHECK (name <> ''),
    industry      text NOT NULL DEFAULT '',
    website       text NOT NULL DEFAULT '',
    contact_email text NOT NULL DEFAULT '',
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'closed')),
    attributes    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    version       integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    updated_at    timestamptz NOT NULL,
    updated_by    text NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CREATE INDEX clients_newest ON clients (tenant, created_at, id);

CREATE TABLE value_propositions (
    tenant     text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         uuid NOT NULL,
    client     uuid NOT NULL,
    title      text NOT NULL CHECK (title <> ''),
    summary    text NOT NULL DEFAULT '',
    points     jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(points) = 'array'),
    status     text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'review', 'approved', 'archived')),
    version    integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, client) REFERENCES clients (tenant, id)
);
CREATE INDEX value_propositions_newest ON value_propositions (tenant, created_at, id);
CREATE INDEX value_propositions_client ON value_propositions (tenant, client, created_at, id);

CREATE TABLE dashboard_templates (
    tenant      text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id          uuid NOT NULL,
    name        text NOT NULL CHECK (name <> ''),
    description text NOT NULL DEFAULT '',
    audience    text NOT NULL DEFAULT '',
    layout      jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(layout) = 'object'),
    status      text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'published', 'archived')),
    version     integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    updated_at  timestamptz NOT NULL,
    updated_by  text NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CREATE INDEX dashboard_templates_newest ON dashboard_templates (tenant, created_at, id);

CREATE TABLE prospects (
    tenant        text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id            uuid NOT NULL,
    client        uuid NOT NULL,
    template      uuid,
    name          text NOT NULL CHECK (name <> ''),
    contact_email text NOT NULL DEFAULT '',
    stage         text NOT NULL DEFAULT 'new' CHECK (stage IN ('new', 'qualified', 'proposal', 'won', 'lost')),
    -- Covered lives.
    members       integer CHECK (members >= 0),
    attributes    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    version       integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    updated_at    timestamptz NOT NULL,
    updated_by    text NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, client) REFERENCES clients (tenant, id),
    FOREIGN KEY (tenant, template) REFERENCES dashboard_templates (tenant, id)
);
CREATE INDEX prospects_newest ON prospects (tenant, created_at, id);
CREATE INDEX prospects_client ON prospects (tenant, client, created_at, id);
CREATE INDEX prospects_template ON prospects (tenant, template) WHERE template IS NOT NULL;

-- What a prospect's dashboard shows: the newest of each template.
CREATE TABLE prospect_dashboard_data (
    tenant       text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    prospect     uuid NOT NULL,
    template     uuid NOT NULL,
    data         jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object'),
    -- The job that made it; empty where a person did.
    job          text COLLATE "C" NOT NULL DEFAULT '',
    as_of        timestamptz NOT NULL,
    version      integer NOT NULL DEFAULT 1 CHECK (version > 0),
    updated_at   timestamptz NOT NULL,
    updated_by   text NOT NULL,
    PRIMARY KEY (tenant, prospect, template),
    FOREIGN KEY (tenant, prospect) REFERENCES prospects (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, template) REFERENCES dashboard_templates (tenant, id)
);
CREATE INDEX prospect_dashboard_data_template ON prospect_dashboard_data (tenant, template);

CREATE TABLE roi_models (
    tenant         text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id             uuid NOT NULL,
    client         uuid NOT NULL,
    prospect       uuid,
    name           text NOT NULL CHECK (name <> ''),
    currency       text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    investment     numeric(16, 2) NOT NULL CHECK (investment >= 0),
    annual_benefit numeric(16, 2) NOT NULL,
    horizon_months integer NOT NULL DEFAULT 12 CHECK (horizon_months BETWEEN 1 AND 600),
    -- Per cent of the investment over the horizon; null where nothing is invested.
    roi_percent    numeric GENERATED ALWAYS AS (
        CASE WHEN investment > 0
             THEN round((annual_benefit * horizon_months / 12 - investment) / investment * 100, 2) END
    ) STORED,
    assumptions    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(assumptions) = 'object'),
    version        integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at     timestamptz NOT NULL,
    created_by     text NOT NULL,
    updated_at     timestamptz NOT NULL,
    updated_by     text NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, client) REFERENCES clients (tenant, id),
    FOREIGN KEY (tenant, prospect) REFERENCES prospects (tenant, id)
);
CREATE INDEX roi_models_newest ON roi_models (tenant, created_at, id);
CREATE INDEX roi_models_client ON roi_models (tenant, client, created_at, id);
CREATE INDEX roi_models_prospect ON roi_models (tenant, prospect) WHERE prospect IS NOT NULL;

-- A prompt as it stands; each of its versions is a row of prompt_versions, which never changes.
CREATE TABLE prompts (
    tenant      text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id          uuid NOT NULL,
    name        text NOT NULL CHECK (name <> ''),
    description text NOT NULL DEFAULT '',
    template    text NOT NULL CHECK (template <> ''),
    variables   jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(variables) = 'array'),
    status      text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'active', 'retired')),
    version     integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    updated_at  timestamptz NOT NULL,
    updated_by  text NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CREATE INDEX prompts_newest ON prompts (tenant, created_at, id);

CREATE TABLE prompt_versions (
    tenant      text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    prompt      uuid NOT NULL,
    version     integer NOT NULL CHECK (version > 0),
    name        text NOT NULL,
    description text NOT NULL,
    template    text NOT NULL,
    variables   jsonb NOT NULL,
    status      text NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    PRIMARY KEY (tenant, prompt, version),
    FOREIGN KEY (tenant, prompt) REFERENCES prompts (tenant, id) ON DELETE CASCADE
);

-- In the transaction of the edit, whoever makes it.
CREATE FUNCTION keep_prompt_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO prompt_versions
        (tenant, prompt, version, name, description, template, variables, status, created_at, created_by)
    VALUES (NEW.tenant, NEW.id, NEW.version, NEW.name, NEW.description, NEW.template, NEW.variables,
            NEW.status, NEW.updated_at, NEW.updated_by);
    RETURN NULL;
END $$;
CREATE TRIGGER prompt_version AFTER INSERT OR UPDATE ON prompts
    FOR EACH ROW EXECUTE FUNCTION keep_prompt_version();

CREATE TABLE models (
    tenant         text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id             uuid NOT NULL,
    name           text NOT NULL CHECK (name <> ''),
    provider       text NOT NULL CHECK (provider <> ''),
    -- The provider's own name of it.
    identifier     text NOT NULL CHECK (identifier <> ''),
    context_tokens integer CHECK (context_tokens > 0),
    parameters     jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(parameters) = 'object'),
    -- Of a million tokens, in US dollars.
    input_price    numeric(12, 6) CHECK (input_price >= 0),
    output_price   numeric(12, 6) CHECK (output_price >= 0),
    status         text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'retired')),
    version        integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at     timestamptz NOT NULL,
    created_by     text NOT NULL,
    updated_at     timestamptz NOT NULL,
    updated_by     text NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CREATE INDEX models_newest ON models (tenant, created_at, id);

-- One run of a prompt by a model.
CREATE TABLE executions (
    tenant         text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id             uuid NOT NULL,
    prompt         uuid NOT NULL,
    prompt_version integer NOT NULL,
    model          uuid NOT NULL,
    job            text COLLATE "C" NOT NULL DEFAULT '',
    status         text NOT NULL CHECK (status IN ('running', 'succeeded', 'failed')),
    input          jsonb NOT NULL DEFAULT '{}',
    output         jsonb,
    error          text NOT NULL DEFAULT '',
    input_tokens   integer CHECK (input_tokens >= 0),
    output_tokens  integer CHECK (output_tokens >= 0),
    -- US dollars.
    cost           numeric(14, 6) CHECK (cost >= 0),
    started_at     timestamptz NOT NULL,
    finished_at    timestamptz CHECK (finished_at >= started_at),
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, prompt, prompt_version) REFERENCES prompt_versions (tenant, prompt, version),
    FOREIGN KEY (tenant, model) REFERENCES models (tenant, id),
    CHECK ((status = 'running') = (finished_at IS NULL))
);
CREATE INDEX executions_prompt ON executions (tenant, prompt, prompt_version, started_at);
CREATE INDEX executions_model ON executions (tenant, model, started_at);
CREATE INDEX executions_job ON executions (tenant, job) WHERE job <> '';

CREATE TABLE evaluations (
    tenant    text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id        uuid NOT NULL,
    execution uuid NOT NULL,
    metric    text NOT NULL CHECK (metric <> ''),
    score     double precision NOT NULL CHECK (score BETWEEN 0 AND 1),
    passed    boolean,
    evaluator text NOT NULL,
    notes     text NOT NULL DEFAULT '',
    at        timestamptz NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, execution, metric, evaluator),
    FOREIGN KEY (tenant, execution) REFERENCES executions (tenant, id) ON DELETE CASCADE
);

-- What a text was before and after it was enhanced, by a model's execution or by a person.
CREATE TABLE enhancement_history (
    tenant      text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id          uuid NOT NULL,
    resource    text NOT NULL CHECK (resource IN ('value_proposition', 'prospect', 'roi_model', 'dashboard_template', 'prompt')),
    resource_id uuid NOT NULL,
    field       text NOT NULL CHECK (field <> ''),
    before      jsonb NOT NULL,
    after       jsonb NOT NULL,
    instruction text NOT NULL DEFAULT '',
    execution   uuid,
    at          timestamptz NOT NULL,
    by          text NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, execution) REFERENCES executions (tenant, id)
);
CREATE INDEX enhancement_history_resource ON enhancement_history (tenant, resource, resource_id, at);
CREATE INDEX enhancement_history_execution ON enhancement_history (tenant, execution) WHERE execution IS NOT NULL;

-- Documents get what a tenant's table needs: lineage knows its tenant, and can only be of the same one's document.
ALTER TABLE documents ADD CONSTRAINT documents_tenant_id UNIQUE (tenant, id);
ALTER TABLE documents ADD CONSTRAINT documents_tenant_check CHECK (tenant <> '');
ALTER TABLE extraction_lineage ADD COLUMN tenant text COLLATE "C";
UPDATE extraction_lineage l SET tenant = d.tenant FROM documents d WHERE d.id = l.document;
ALTER TABLE extraction_lineage
    ALTER COLUMN tenant SET NOT NULL,
    ADD CONSTRAINT extraction_lineage_tenant FOREIGN KEY (tenant, document)
        REFERENCES documents (tenant, id) ON DELETE CASCADE;
CREATE INDEX extraction_lineage_tenant_document ON extraction_lineage (tenant, document);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenant_configs', 'clients', 'value_propositions', 'dashboard_templates',
        'prospects', 'prospect_dashboard_data', 'roi_models', 'prompts', 'prompt_versions', 'models',
        'executions', 'evaluations', 'enhancement_history', 'documents', 'extraction_lineage']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_rows ON %I USING (tenant = current_setting(''triton.tenant'', true)) WITH CHECK (tenant = current_setting(''triton.tenant'', true))', name);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON clients, value_propositions, dashboard_templates, prospects,
    prospect_dashboard_data, roi_models, prompts, models, executions, evaluations, documents TO triton_tenant;
-- History: it is added to, and never changed. What a tenant may use is not for the tenant to say.
GRANT SELECT, INSERT ON prompt_versions, enhancement_history TO triton_tenant;
GRANT SELECT, INSERT, DELETE ON extraction_lineage TO triton_tenant;
GRANT SELECT ON tenant_configs TO triton_tenant;

-- The jobs under the name that the domain knows them by. The tables below `jobs` are out of the tenant role's
-- reach: projectors write them by COPY, which row-level security does not allow. Their owner sees all jobs
-- here; the tenant role sees those of its tenant, and none where no tenant is set.
CREATE VIEW generation_jobs WITH (security_barrier) AS
SELECT * FROM jobs
WHERE current_user <> 'triton_tenant' OR tenant = current_setting('triton.tenant', true);
COMMENT ON VIEW generation_jobs IS 'The view jobs, of the tenant that is set.';
GRANT SELECT ON generation_jobs TO triton_tenant;
