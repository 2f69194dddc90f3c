-- Which checkpoints a living process holds: its lease did not lapse, and its session is still there.
SELECT projector, partition, leased_until > clock_timestamp()
       AND EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = checkpoints.backend)
FROM checkpoints
