-- Takes back what was set aside and is not lost.
DELETE FROM lost_events
WHERE partition = %(partition)s AND epoch = %(epoch)s AND position = ANY(%(positions)s::bigint[])
