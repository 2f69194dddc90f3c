-- The segments of all trees as PostgreSQL tells of them; times in microseconds, hashes in hex.
SELECT partition, epoch, first_position, last_position, manifest_sha256, state, expired_at IS NOT NULL, key,
       size, sha256, encode(root, 'hex'), (extract(epoch FROM first_at) * 1000000)::bigint,
       (extract(epoch FROM last_at) * 1000000)::bigint
FROM segments
ORDER BY partition, epoch, first_position
