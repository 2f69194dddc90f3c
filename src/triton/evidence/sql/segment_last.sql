-- The last segment of a partition's log in one of its lives.
SELECT first_position, last_position, state, key, sha256, size, manifest_sha256, root,
       (extract(epoch FROM first_at) * 1000000)::bigint, (extract(epoch FROM last_at) * 1000000)::bigint,
       expired_at IS NOT NULL
FROM segments
WHERE partition = %(partition)s AND epoch = %(epoch)s AND (state = 'sealed' OR %(open)s)
ORDER BY first_position DESC
LIMIT 1
