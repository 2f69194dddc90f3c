-- What of the archive has expired: the bytes of segments, whose manifests, tiles and leaf hashes stay.

ALTER TABLE segments ADD COLUMN expired_at timestamptz;
COMMENT ON COLUMN segments.expired_at IS 'Since when its bytes are not to be read any more: they go, or are gone.';

-- One row per segment that expires or has expired, and how far that is. Each step may be repeated.
CREATE TABLE expiries (
    partition       integer NOT NULL,
    epoch           text NOT NULL,
    first_position  bigint NOT NULL,
    last_position   bigint NOT NULL,
    key             text NOT NULL,
    -- intended: it may go; declared: its leaf hashes are in the archive, and an event of the log says that it
    -- expires; removing: that event is sealed, and nothing held it then; expired: the file is gone.
    state           text NOT NULL DEFAULT 'intended'
                    CHECK (state IN ('intended', 'declared', 'removing', 'expired')),
    -- Why it may go, and who asked for it.
    reason          text NOT NULL,
    by              text NOT NULL,
    -- Of the event segment.expired: the life of the log that it is in, and its position there.
    declared_epoch  text,
    declared_at     bigint,
    intended_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expired_at      timestamptz,
    PRIMARY KEY (partition, epoch, first_position),
    CHECK (state = 'intended' OR (declared_epoch IS NOT NULL AND declared_at IS NOT NULL)),
    CHECK ((state = 'expired') = (expired_at IS NOT NULL))
);
