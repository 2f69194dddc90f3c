-- How far each store is, and how many events were set aside on the way.
SELECT projector, partition, position,
       (SELECT count(*) FROM parked_events p
        WHERE p.projector = c.projector AND p.partition = c.partition AND p.position <= c.position)
FROM checkpoints c
WHERE projector IN ('postgres', 'clickhouse')
ORDER BY projector, partition
