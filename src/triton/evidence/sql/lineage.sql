-- The earlier lives of a partition's log, the newest first, and the last position each shares with this one.
WITH RECURSIVE lives AS (
    SELECT previous_epoch, common, 1 AS depth
    FROM log_epochs WHERE partition = %(partition)s AND epoch = %(epoch)s
    UNION ALL
    SELECT e.previous_epoch, least(e.common, lives.common), depth + 1
    FROM log_epochs e JOIN lives ON e.epoch = lives.previous_epoch
    WHERE e.partition = %(partition)s
)
SELECT previous_epoch, common FROM lives ORDER BY depth
