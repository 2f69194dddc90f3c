-- Up to where each store's events of a partition have expired, as far as it has read them.
SELECT c.projector, c.partition, max(s.last_position)
FROM checkpoints c
JOIN segments s ON s.partition = c.partition AND s.epoch = c.epoch
WHERE c.projector IN ('postgres', 'clickhouse') AND s.expired_at IS NOT NULL AND s.last_position <= c.position
GROUP BY c.projector, c.partition
ORDER BY c.projector, c.partition
