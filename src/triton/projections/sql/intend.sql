-- Says which range goes into ClickHouse next, before it goes, and extends the lease: one statement, so one
-- round trip and one commit. No row: the holder was replaced.
WITH held AS (
    UPDATE checkpoints
    SET leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE projector = %(projector)s AND partition = %(partition)s AND fence = %(fence)s
    RETURNING projector, partition
)
INSERT INTO insert_intents
    (projector, partition, epoch, first_position, last_position, rows, digest)
SELECT projector, partition, %(epoch)s, %(first)s, %(last)s, %(rows)s, %(digest)s FROM held
ON CONFLICT (projector, partition) DO UPDATE
SET epoch = excluded.epoch, first_position = excluded.first_position,
    last_position = excluded.last_position, rows = excluded.rows, digest = excluded.digest,
    created_at = excluded.created_at
