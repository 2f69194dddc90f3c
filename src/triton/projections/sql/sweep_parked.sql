-- Removes expired events that a projector had set aside.
DELETE FROM parked_events
WHERE projector = %(projector)s AND partition = %(partition)s AND position <= %(until)s
