-- The events of a partition up to a position.
SELECT count(*) FROM job_events WHERE partition = %(partition)s AND position BETWEEN %(expired)s + 1 AND %(position)s
