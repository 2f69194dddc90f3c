-- Gives a lease back, so that a standby need not wait for it to run out.
UPDATE checkpoints SET leased_until = '-infinity'
WHERE projector = %(projector)s AND partition = %(partition)s AND fence = %(fence)s
