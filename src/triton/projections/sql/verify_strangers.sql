-- Jobs of which no event is known.
SELECT job, what FROM (
    SELECT job, 'job_submissions' AS what FROM job_submissions
    UNION ALL SELECT job, 'job_states' FROM job_states
) AS rows
WHERE NOT EXISTS (SELECT FROM job_events e WHERE e.job = rows.job)
ORDER BY job, what
LIMIT 1000
