-- One attempt; nothing where the target was removed meanwhile.
INSERT INTO webhook_deliveries
    (tenant, target, event, job, attempt, at, delivered, status, error, duration_ms)
SELECT %(tenant)s, %(target)s, %(event)s, %(job)s, %(attempt)s, %(at)s, %(delivered)s, %(status)s, %(error)s,
       %(duration_ms)s
WHERE EXISTS (SELECT FROM webhook_targets WHERE tenant = %(tenant)s AND id = %(target)s)
ON CONFLICT DO NOTHING
