-- A cast that fails for one row fails the batch: an infinite time is a float here, and bounded there.
SELECT id, job, actor, queue, args::text, kwargs::text, options::text,
    (extract(epoch FROM due) * 1000)::float8,
    (extract(epoch FROM least(greatest(created_at, 'epoch'), clock_timestamp())) * 1000)::bigint
FROM triton_outbox
WHERE id = ANY(%s)
ORDER BY id
