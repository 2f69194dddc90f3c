-- Moves a checkpoint over the range that was inserted into ClickHouse, and forgets the intent. Only from where
-- its holder believes it to be. No row: the holder was replaced.
WITH moved AS (
    UPDATE checkpoints
    SET position = %(to)s, digest = %(digest)s, updated_at = clock_timestamp(),
        leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE projector = %(projector)s AND partition = %(partition)s
      AND fence = %(fence)s AND position = %(from)s
    RETURNING projector, partition
), gone AS (
    DELETE FROM insert_intents AS i USING moved AS m
    WHERE i.projector = m.projector AND i.partition = m.partition
)
SELECT FROM moved
