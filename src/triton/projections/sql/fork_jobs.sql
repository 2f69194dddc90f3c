-- The jobs that lost an event, and what is known of each: its last event, and whether it began before.
SELECT job, tenant, queue, max(version), min(version) > 1,
       (array_agg(type ORDER BY version DESC))[1]
FROM lost_events
WHERE partition = %(partition)s AND epoch = %(epoch)s AND position > %(common)s AND job <> ''
GROUP BY job, tenant, queue
ORDER BY min(position)
