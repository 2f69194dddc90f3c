-- How far each store is, how many events were set aside on the way, and up to where the log expired.
SELECT projector, partition, position,
       (SELECT count(*) FROM parked_events p
        WHERE p.projector = c.projector AND p.partition = c.partition AND p.position <= c.position
          AND p.position > gone.expired),
       gone.expired
FROM checkpoints c
CROSS JOIN LATERAL (
    SELECT coalesce(max(s.last_position), 0) AS expired FROM segments s
    WHERE s.partition = c.partition AND s.epoch = c.epoch AND s.expired_at IS NOT NULL
) gone
WHERE projector IN ('postgres', 'clickhouse')
ORDER BY projector, partition
