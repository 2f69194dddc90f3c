-- What became of logs that lost their tail: which lives a partition's log had, and the events that are in
-- none of them any more.

-- One row per adoption: from here on the log is taken as it is, in a new epoch.
CREATE TABLE log_epochs (
    partition      integer NOT NULL,
    epoch          text NOT NULL,
    previous_epoch text NOT NULL,
    -- The last position that both lives share.
    common         bigint NOT NULL,
    -- The last position that was known of the previous life: common + 1 to lost_until are lost.
    lost_until     bigint NOT NULL,
    -- Where the adopted log ended.
    log_end        bigint NOT NULL,
    adopted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    adopted_by     text NOT NULL,
    reason         text NOT NULL,
    PRIMARY KEY (partition, epoch)
);

-- The lost events as the stores knew them; the columns are those of job_events. `epoch` is the one that
-- they belonged to.
CREATE TABLE lost_events (
    epoch       text NOT NULL,
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
    PRIMARY KEY (partition, epoch, position)
);
CREATE INDEX lost_events_job ON lost_events (job);
