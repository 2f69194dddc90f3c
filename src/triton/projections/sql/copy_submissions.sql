-- Adds jobs' lasting data: tab-separated lines.
COPY job_submissions (job, tenant, queue, actor, priority, submitted_at, by, causation, correlation,
                      traceparent, args, kwargs, partition) FROM STDIN
