-- The newest attempts to deliver to a target.
SELECT event, job, attempt, at, delivered, status, error, duration_ms
FROM webhook_deliveries
WHERE tenant = %(tenant)s AND target = %(target)s
ORDER BY at DESC
LIMIT %(limit)s
