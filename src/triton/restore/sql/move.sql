-- Moves a held checkpoint into the new epoch. No row: the holder was replaced.
UPDATE checkpoints
SET epoch = %(epoch)s, position = %(to)s, digest = %(digest)s, updated_at = clock_timestamp()
WHERE projector = %(projector)s AND partition = %(partition)s AND fence = %(fence)s
