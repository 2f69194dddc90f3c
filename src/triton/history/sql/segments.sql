-- What can be read from the archive of one life of a partition's log, oldest first; times in microseconds.
SELECT first_position, last_position, key, size,
       (extract(epoch FROM first_at) * 1000000)::bigint AS first_at,
       (extract(epoch FROM last_at) * 1000000)::bigint AS last_at
FROM segments
WHERE partition = %(partition)s AND epoch = %(epoch)s AND state = 'sealed' AND expired_at IS NULL
ORDER BY first_position
