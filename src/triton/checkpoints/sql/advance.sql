-- Moves a checkpoint, only from where its holder believes it to be. No row: the holder was replaced.
UPDATE checkpoints
SET position = %(to)s, digest = %(digest)s, updated_at = clock_timestamp(),
    leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE projector = %(projector)s AND partition = %(partition)s
  AND fence = %(fence)s AND position = %(from)s
