-- Failed jobs of the queues that have most of them; the others are one.
WITH counted AS (
    SELECT queue, count(*) AS jobs, row_number() OVER (ORDER BY count(*) DESC, queue) AS place
    FROM failed_jobs GROUP BY queue
)
SELECT CASE WHEN place <= %(most)s THEN queue ELSE %(others)s END, sum(jobs)::bigint
FROM counted GROUP BY 1
