-- What tenants keep secret, and the webhooks that come in and go out.

-- Sealed with AES-256-GCM under a key of the ring that is outside of this database; the tenant, the name and the
-- version are bound to what is sealed, so that a row moved elsewhere does not open.
CREATE TABLE tenant_secrets (
    tenant     text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    name       text COLLATE "C" NOT NULL CHECK (name <> ''),
    version    integer NOT NULL DEFAULT 1 CHECK (version > 0),
    key        text NOT NULL CHECK (key <> ''),
    nonce      bytea NOT NULL CHECK (length(nonce) = 12),
    sealed     bytea NOT NULL CHECK (length(sealed) >= 16),
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- Somebody who may submit jobs by signed requests: always of this actor.
CREATE TABLE webhook_sources (
    tenant     text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         uuid NOT NULL,
    name       text NOT NULL CHECK (name <> ''),
    actor      text NOT NULL CHECK (actor <> ''),
    queue      text,
    argument   text NOT NULL DEFAULT 'payload' CHECK (argument <> ''),
    enabled    boolean NOT NULL DEFAULT true,
    version    integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CREATE INDEX webhook_sources_newest ON webhook_sources (tenant, created_at, id);

-- Where a tenant's job events are sent.
CREATE TABLE webhook_targets (
    tenant     text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         uuid NOT NULL,
    name       text NOT NULL CHECK (name <> ''),
    url        text NOT NULL CHECK (url <> ''),
    -- Event types.
    events     jsonb NOT NULL CHECK (jsonb_typeof(events) = 'array'),
    -- Only of this actor's, this queue's jobs; null is any.
    actor      text,
    queue      text,
    enabled    boolean NOT NULL DEFAULT true,
    version    integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CREATE INDEX webhook_targets_newest ON webhook_targets (tenant, created_at, id);

-- One row for each attempt.
CREATE TABLE webhook_deliveries (
    tenant      text COLLATE "C" NOT NULL CHECK (tenant <> ''),
    target      uuid NOT NULL,
    -- The event's id, as webhook-id says it.
    event       text COLLATE "C" NOT NULL,
    -- The job that delivers, and its attempt.
    job         text COLLATE "C" NOT NULL,
    attempt     integer NOT NULL,
    at          timestamptz NOT NULL,
    delivered   boolean NOT NULL,
    -- What the target answered; null where it did not.
    status      integer,
    error       text NOT NULL DEFAULT '',
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    PRIMARY KEY (tenant, target, event, job, attempt),
    FOREIGN KEY (tenant, target) REFERENCES webhook_targets (tenant, id) ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (tenant, target, at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenant_secrets', 'webhook_sources', 'webhook_targets', 'webhook_deliveries']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_rows ON %I USING (tenant = current_setting(''triton.tenant'', true)) WITH CHECK (tenant = current_setting(''triton.tenant'', true))', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_secrets, webhook_sources, webhook_targets TO triton_tenant;
GRANT SELECT, INSERT ON webhook_deliveries TO triton_tenant;

-- Which tenants have targets, for who reads the log of all of them: names only, under the owner's rights.
CREATE TABLE webhook_tenants (
    tenant text COLLATE "C" PRIMARY KEY,
    since  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION keep_webhook_tenant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO webhook_tenants (tenant) VALUES (NEW.tenant) ON CONFLICT DO NOTHING;
    -- Who reads the log for webhooks begins where the projector is now: nothing that comes is missed.
    INSERT INTO checkpoints
        (projector, partition, epoch, position, digest, owner, fence, backend, leased_until, updated_at)
    SELECT 'webhooks', partition, epoch, position, digest, '', 0, 0, '-infinity', clock_timestamp()
    FROM checkpoints WHERE projector = 'postgres'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_tenant AFTER INSERT ON webhook_targets
    FOR EACH ROW EXECUTE FUNCTION keep_webhook_tenant();
CREATE TABLE secret_tenants (
    tenant text COLLATE "C" PRIMARY KEY,
    since  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION keep_secret_tenant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO secret_tenants (tenant) VALUES (NEW.tenant) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER secret_tenant AFTER INSERT ON tenant_secrets
    FOR EACH ROW EXECUTE FUNCTION keep_secret_tenant();

-- A source's or target's secret goes with it.
CREATE FUNCTION forget_webhook_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tenant_secrets
    WHERE tenant = OLD.tenant AND name = replace(left(TG_TABLE_NAME, -1), '_', '-') || '.' || OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_secret AFTER DELETE ON webhook_sources
    FOR EACH ROW EXECUTE FUNCTION forget_webhook_secret();
CREATE TRIGGER webhook_secret AFTER DELETE ON webhook_targets
    FOR EACH ROW EXECUTE FUNCTION forget_webhook_secret();
