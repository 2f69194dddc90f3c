-- Jobs that an application submits inside its own transactions. A relay turns each row into one job.

CREATE TABLE triton_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The job's id. The same id is the same job, however often a row is sent.
    job        text NOT NULL DEFAULT gen_random_uuid()::text,
    actor      text NOT NULL,
    -- NULL: the queue that the actor's workers declared.
    queue      text,
    -- json, not jsonb: the text stays as it was written, numbers and key order included.
    args       json NOT NULL DEFAULT '[]',
    kwargs     json NOT NULL DEFAULT '{}',
    options    json NOT NULL DEFAULT '{}',
    -- NULL: at once.
    due        timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The relay's columns: not before this time; set aside at this time, because of this error.
    retry_at   timestamptz,
    refused_at timestamptz,
    error      text
);
CREATE INDEX triton_outbox_waiting ON triton_outbox (id) WHERE refused_at IS NULL;

CREATE FUNCTION triton_outbox_wake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('triton_outbox', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER triton_outbox_wake AFTER INSERT ON triton_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION triton_outbox_wake();
