-- One of these jobs that has not ended.
SELECT job FROM job_states
WHERE job = ANY(%(jobs)s) AND state NOT IN ('completed', 'failed', 'cancelled')
ORDER BY job LIMIT 1
