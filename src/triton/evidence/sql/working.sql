-- Whether a living process archives a partition: its lease did not lapse, and its session is still there.
SELECT leased_until > clock_timestamp()
       AND EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = checkpoints.backend)
FROM checkpoints
WHERE projector = 'archiver' AND partition = %(partition)s
