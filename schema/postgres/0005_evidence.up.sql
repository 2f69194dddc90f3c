-- What the archiver has done: the ranges of the log that are in the archive, and the tree heads it signed.

-- One row per range of a partition's log in one of its lives, in the order of positions, without a gap. The
-- range is fixed before its first byte is written; nothing leaves Redis before its row is `sealed`.
CREATE TABLE segments (
    partition       integer NOT NULL,
    epoch           text NOT NULL,
    first_position  bigint NOT NULL,
    last_position   bigint NOT NULL,
    events          bigint NOT NULL,
    -- sealing: the range is fixed; stored: segment, tiles and manifest were put and read back; sealed: a
    -- signed tree head covers it.
    state           text NOT NULL CHECK (state IN ('sealing', 'stored', 'sealed')),
    -- In the archive; its SHA-256 in hex, and its bytes.
    key             text NOT NULL,
    sha256          text,
    size            bigint,
    manifest_sha256 text,
    -- Times of the first and the last event.
    first_at        timestamptz,
    last_at         timestamptz,
    -- Of the tree of all events up to last_position.
    root            bytea,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    sealed_at       timestamptz,
    -- When all of its events had left Redis.
    trimmed_at      timestamptz,
    PRIMARY KEY (partition, epoch, first_position),
    CHECK (events = last_position - first_position + 1 AND first_position > 0 AND events > 0),
    CHECK (state = 'sealing' OR (sha256 IS NOT NULL AND size IS NOT NULL AND manifest_sha256 IS NOT NULL
           AND first_at IS NOT NULL AND last_at IS NOT NULL AND root IS NOT NULL)),
    CHECK ((state = 'sealed') = (sealed_at IS NOT NULL))
);
CREATE UNIQUE INDEX segments_end ON segments (partition, epoch, last_position);
CREATE UNIQUE INDEX segments_open ON segments (partition, epoch) WHERE state <> 'sealed';
CREATE INDEX segments_times ON segments (partition, last_at);

-- The signed heads of the last day, and those that are not in the archive yet.
CREATE TABLE tree_heads (
    partition integer NOT NULL,
    epoch     text NOT NULL,
    signed_at timestamptz NOT NULL,
    size      bigint NOT NULL,
    root      bytea NOT NULL,
    -- The checkpoint as it was published.
    note      bytea NOT NULL,
    -- The object of heads in the archive that it belongs to, and whether that was put.
    key       text,
    stored    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (partition, epoch, signed_at)
);
