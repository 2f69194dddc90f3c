SELECT id, job, actor, queue, args::text, kwargs::text, options::text,
    (extract(epoch FROM due) * 1000)::bigint, (extract(epoch FROM created_at) * 1000)::bigint
FROM triton_outbox
WHERE id = ANY(%s)
ORDER BY id
