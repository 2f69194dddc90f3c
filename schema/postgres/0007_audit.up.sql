-- What must be kept and for how long, and what of the archive has expired. Each row here has its event in the
-- log (hold.placed, hold.lifted, retention.set, segment.expired).

-- Legal holds: nothing of a tenant, a queue or a job under one expires.
CREATE TABLE holds (
    hold      text PRIMARY KEY,
    scope     text NOT NULL CHECK (scope IN ('tenant', 'queue', 'job')),
    value     text NOT NULL CHECK (value <> ''),
    reason    text NOT NULL,
    placed_by text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lifted_by text,
    lifted_at timestamptz,
    lifted_why text,
    CHECK ((lifted_by IS NULL) = (lifted_at IS NULL))
);

-- For how many days events are kept; an empty name is every one, 0 days are for ever.
CREATE TABLE retention (
    tenant text NOT NULL,
    queue  text NOT NULL,
    days   integer NOT NULL CHECK (days >= 0),
    reason text NOT NULL,
    set_by text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, queue)
);

-- What a job caused is asked for by its id.
CREATE INDEX job_submissions_causation ON job_submissions (causation) WHERE causation <> '';
