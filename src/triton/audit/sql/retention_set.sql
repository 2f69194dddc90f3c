-- Says for how many days events of a tenant and queue are kept. Answers what was so before, -1 for nothing.
WITH before AS (SELECT days FROM retention WHERE tenant = %(tenant)s AND queue = %(queue)s)
INSERT INTO retention (tenant, queue, days, reason, set_by)
VALUES (%(tenant)s, %(queue)s, %(days)s, %(reason)s, %(by)s)
ON CONFLICT (tenant, queue) DO UPDATE
SET days = excluded.days, reason = excluded.reason, set_by = excluded.set_by, set_at = clock_timestamp()
RETURNING coalesce((SELECT days FROM before), -1)
