-- Up to where the archive of one life of a partition's log has expired: its last such segment, the position of the
-- event that says so, where that is known, and when it went.
SELECT s.last_position, coalesce(e.declared_at, 0) AS declared_at, to_char(s.expired_at, 'YYYY-MM-DD') AS day
FROM segments s
LEFT JOIN expiries e USING (partition, epoch, first_position)
WHERE s.partition = %(partition)s AND s.epoch = %(epoch)s AND s.expired_at IS NOT NULL
ORDER BY s.last_position DESC
LIMIT 1
