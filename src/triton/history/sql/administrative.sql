-- Where administrative events of some types are, up to what the index knows.
SELECT e.position
FROM job_events e
WHERE e.job = '' AND e.version = 0 AND e.partition = %(partition)s AND e.type = ANY(%(types)s)
  AND e.position BETWEEN %(first)s AND %(last)s
ORDER BY e.position
