UPDATE triton_outbox SET refused_at = NULL, retry_at = NULL, error = NULL
WHERE refused_at IS NOT NULL AND (%s::bigint IS NULL OR id = %s)
