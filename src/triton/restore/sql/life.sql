-- The epoch that the stores know of a partition, its newest first: what the projector of PostgreSQL has, or
-- what was declared, or what the archiver has. One of which nothing was read yet is none: a log that was begun
-- because Redis was found empty.
SELECT epoch FROM (
    SELECT 1 AS rank, epoch, updated_at AS at FROM checkpoints
    WHERE partition = %(partition)s AND projector = 'postgres' AND position > 0
    UNION ALL
    SELECT 2, epoch, adopted_at FROM log_epochs WHERE partition = %(partition)s
    UNION ALL
    SELECT 3, epoch, updated_at FROM checkpoints WHERE partition = %(partition)s AND position > 0
) AS known
ORDER BY rank, at DESC
LIMIT 1
