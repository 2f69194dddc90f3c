-- What was said of how long events are kept.
SELECT tenant, queue, days, reason, set_by, (extract(epoch FROM set_at) * 1000000)::bigint
FROM retention
ORDER BY tenant, queue
