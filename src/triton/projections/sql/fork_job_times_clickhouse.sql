-- Builds jobs' times again from their history, as job_times_fill does.
INSERT INTO job_times
SELECT
    tenant, queue, job,
    max(e.actor) AS actor,
    min(if(type = 'job.submitted', at, NULL)) AS submitted_at,
    min(if(type = 'job.submitted', coalesce(e.due_at, at), NULL)) AS ready_at,
    min(if(type = 'job.started', at, NULL)) AS started_at,
    max(if(type = 'job.started', at, NULL)) AS restarted_at,
    max(if(type IN ('job.completed', 'job.failed', 'job.cancelled'), at, NULL)) AS finished_at
FROM job_events AS e FINAL
WHERE job IN {jobs:Array(String)}
GROUP BY tenant, queue, job
