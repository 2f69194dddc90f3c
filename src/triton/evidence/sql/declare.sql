-- Says by which settings this archiver trims. No row: the holder was replaced.
UPDATE checkpoints
SET about = %(about)s::jsonb
WHERE projector = %(projector)s AND partition = %(partition)s AND fence = %(fence)s
