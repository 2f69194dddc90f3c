-- The jobs that a job (or whatever else is named) caused, oldest first.
SELECT job, partition, (extract(epoch FROM submitted_at) * 1000000)::bigint AS submitted
FROM job_submissions
WHERE causation = %(causation)s AND causation <> ''
ORDER BY submitted_at, job
LIMIT %(limit)s
