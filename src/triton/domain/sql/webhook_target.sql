-- Where to send, and whether at all.
SELECT url, enabled FROM webhook_targets WHERE tenant = %(tenant)s AND id = %(id)s
