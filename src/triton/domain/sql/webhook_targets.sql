-- All that a tenant wants to be told, and since when.
SELECT id, events, actor, queue, created_at FROM webhook_targets WHERE tenant = %(tenant)s AND enabled
