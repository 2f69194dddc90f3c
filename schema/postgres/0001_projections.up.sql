-- What the PostgreSQL projector writes: the view `jobs` over a cold and a hot table, `job_events`, and
-- the bookkeeping of all projectors. Empty texts of the log are empty here; times that are not yet are null.

-- Written once, at job.submitted.
CREATE TABLE job_submissions (
    job          text COLLATE "C" PRIMARY KEY,
    tenant       text NOT NULL,
    queue        text NOT NULL,
    actor        text NOT NULL,
    priority     integer NOT NULL,
    submitted_at timestamptz NOT NULL,
    by           text NOT NULL,
    causation    text NOT NULL,
    correlation  text NOT NULL,
    traceparent  text NOT NULL,
    -- Of the Dramatiq message; null where its body is not JSON.
    args         jsonb,
    kwargs       jsonb,
    partition    integer NOT NULL
);
CREATE INDEX job_submissions_newest ON job_submissions (submitted_at, job);
CREATE INDEX job_submissions_tenant ON job_submissions (tenant, submitted_at, job);
CREATE INDEX job_submissions_queue ON job_submissions (queue, submitted_at, job);
CREATE INDEX job_submissions_actor ON job_submissions (actor, submitted_at, job);

-- Rewritten with every batch that touches the job. No index but the primary key, and half of each page
-- free: so an update stays in its page and touches no index (HOT). A test holds this.
CREATE TABLE job_states (
    job              text COLLATE "C" PRIMARY KEY,
    state            text NOT NULL,
    attempt          integer NOT NULL,
    version          integer NOT NULL,
    position         bigint NOT NULL,
    percent          double precision NOT NULL,
    stage            text NOT NULL,
    worker           text NOT NULL,
    deaths           integer NOT NULL,
    cancel_requested boolean NOT NULL,
    reason           text NOT NULL,
    due_at           timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    updated_at       timestamptz NOT NULL,
    error            jsonb,
    result           jsonb
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE VIEW jobs AS
SELECT job, c.tenant, c.queue, c.actor, h.state, h.attempt, h.percent, h.stage, h.error, h.result,
       h.reason, c.submitted_at, h.due_at, h.started_at, h.finished_at, h.updated_at, c.args, c.kwargs,
       c.priority, h.worker, h.deaths, c.by, c.causation, c.correlation, c.traceparent,
       h.cancel_requested, h.version, c.partition, h.position
FROM job_submissions c JOIN job_states h USING (job);
COMMENT ON VIEW jobs IS
    'One row per job: the fold of its events up to version. position: the log entry it reflects.';

-- Every event, for history by job. Binary values are base64; a message body that is JSON is shown as JSON.
CREATE TABLE job_events (
    partition   integer NOT NULL,
    position    bigint NOT NULL,
    job         text COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    type        text NOT NULL,
    attempt     integer NOT NULL,
    at          timestamptz NOT NULL,
    by          text NOT NULL,
    tenant      text NOT NULL,
    queue       text NOT NULL,
    causation   text NOT NULL,
    correlation text NOT NULL,
    traceparent text NOT NULL,
    schema      integer NOT NULL,
    data        jsonb NOT NULL,
    PRIMARY KEY (partition, position)
);
CREATE INDEX job_events_history ON job_events (job, version);

-- How far each projector is, and who may move it. A commit names the fence it holds: whoever was
-- replaced holds a smaller one and is refused.
CREATE TABLE checkpoints (
    projector    text NOT NULL,
    partition    integer NOT NULL,
    epoch        text NOT NULL,
    position     bigint NOT NULL,
    digest       text NOT NULL,
    owner        text NOT NULL,
    fence        bigint NOT NULL,
    -- The owner's session here: when it is gone, the lease need not be waited for.
    backend      integer NOT NULL,
    leased_until timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (projector, partition)
) WITH (fillfactor = 20);
COMMENT ON COLUMN checkpoints.digest IS 'of the log entry at position, to notice a replaced history';

-- An event that could not be applied, and the later events of its job: kept as stored, in order.
CREATE TABLE parked_events (
    projector text NOT NULL,
    partition integer NOT NULL,
    position  bigint NOT NULL,
    job       text NOT NULL,
    reason    text NOT NULL,
    record    bytea NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projector, partition, position)
);

-- The batch that is on its way into ClickHouse: after a crash exactly this range goes again.
CREATE TABLE insert_intents (
    projector      text NOT NULL,
    partition      integer NOT NULL,
    epoch          text NOT NULL,
    first_position bigint NOT NULL,
    last_position  bigint NOT NULL,
    rows           integer NOT NULL,
    digest         text NOT NULL,
    token          text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projector, partition)
);
