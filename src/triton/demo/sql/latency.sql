-- The same minutes: milliseconds of waiting and of running.
SELECT minute, actor, jobs, wait_p50_ms, wait_p99_ms, run_p50_ms, run_p95_ms, run_p99_ms
FROM latency_per_minute
WHERE queue = {queue:String} AND minute >= toStartOfMinute({since:DateTime64(6, 'UTC')})
ORDER BY minute, actor
