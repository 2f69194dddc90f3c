-- Puts the archiver's checkpoint to the end of its last segment. No row: the holder was replaced.
UPDATE checkpoints
SET position = %(to)s, digest = %(digest)s, updated_at = clock_timestamp()
WHERE projector = %(projector)s AND partition = %(partition)s AND fence = %(fence)s
