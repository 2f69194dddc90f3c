-- Extends a lease. No row: the holder was replaced.
UPDATE checkpoints
SET leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE projector = %(projector)s AND partition = %(partition)s AND fence = %(fence)s
