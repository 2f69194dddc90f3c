SELECT id, job, actor, refused_at, error FROM triton_outbox
WHERE refused_at IS NOT NULL
ORDER BY id
LIMIT %s
