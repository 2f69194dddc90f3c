-- Entries of a partition after a position that were put aside as they are.
SELECT position, record
FROM parked_events
WHERE partition = %(partition)s AND position > %(after)s AND projector = 'postgres'
ORDER BY position
