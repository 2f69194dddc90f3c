INSERT INTO triton_outbox (job, actor, queue, args, kwargs, options, due)
VALUES (
    %s, %s, %s, %s::json, %s::json, %s::json,
    coalesce(%s::timestamptz, clock_timestamp() + %s::bigint * interval '1 millisecond')
)
