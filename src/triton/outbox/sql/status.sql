SELECT count(*) FILTER (WHERE refused_at IS NULL), count(*) FILTER (WHERE refused_at IS NOT NULL),
    extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE refused_at IS NULL))::float8
FROM triton_outbox
