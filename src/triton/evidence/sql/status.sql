-- What there is of a tree: its segments, those that left Redis, and when the last one was sealed.
SELECT count(*) FILTER (WHERE state = 'sealed' AND expired_at IS NULL),
       coalesce(sum(events) FILTER (WHERE state = 'sealed' AND expired_at IS NULL), 0)::bigint,
       coalesce(sum(size) FILTER (WHERE state = 'sealed' AND expired_at IS NULL), 0)::bigint,
       count(*) FILTER (WHERE state <> 'sealed'),
       coalesce(max(last_position) FILTER (WHERE state = 'sealed'), 0),
       (extract(epoch FROM clock_timestamp() - max(sealed_at)))::double precision,
       coalesce(max(last_position) FILTER (WHERE expired_at IS NOT NULL), 0)
FROM segments
WHERE partition = %(partition)s AND epoch = %(epoch)s
