-- The oldest rows that wait and that no other relay holds, with their bytes.
SELECT id, octet_length(args::text) + octet_length(kwargs::text) + octet_length(options::text)
FROM triton_outbox
WHERE refused_at IS NULL AND (retry_at IS NULL OR retry_at <= clock_timestamp())
ORDER BY id
LIMIT %s
FOR UPDATE SKIP LOCKED
