-- What became of these jobs, in the order that they were submitted; seconds are of the last attempt.
SELECT kwargs->>'document' AS document, job, state, attempt,
       result->>'filename' AS filename, result->>'media_type' AS media_type,
       (result->>'pages')::int AS pages, (result->>'words')::int AS words,
       (result->>'headings_total')::int AS headings, (result->>'tables')::int AS tables,
       extract(epoch FROM finished_at - started_at)::float8 AS seconds,
       error->>'type' AS error_type, error->>'message' AS error, reason
FROM jobs
WHERE job = ANY(%(jobs)s)
ORDER BY submitted_at, job
