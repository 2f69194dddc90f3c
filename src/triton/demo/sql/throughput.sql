-- The queue's minutes since a time, newest last.
SELECT minute, queue, submitted, started, completed, failed, events
FROM throughput_per_minute
WHERE queue = {queue:String} AND minute >= toStartOfMinute({since:DateTime64(6, 'UTC')})
ORDER BY minute
