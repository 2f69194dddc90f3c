-- Makes the row of a segment that is in the archive. No row: another range was begun there.
INSERT INTO segments (partition, epoch, first_position, last_position, events, state, key, sha256, size,
                      manifest_sha256, first_at, last_at, root, sealed_at, expired_at)
VALUES (%(partition)s, %(epoch)s, %(first)s, %(last)s, %(last)s::bigint - %(first)s + 1, %(state)s, %(key)s,
        %(sha256)s, %(size)s, %(manifest_sha256)s,
        to_timestamp(0) + %(first_at)s::bigint * interval '1 microsecond',
        to_timestamp(0) + %(last_at)s::bigint * interval '1 microsecond', %(root)s,
        CASE WHEN %(state)s = 'sealed' THEN clock_timestamp() END,
        CASE WHEN %(expired)s THEN clock_timestamp() END)
ON CONFLICT (partition, epoch, first_position) DO UPDATE
SET state = excluded.state, sha256 = excluded.sha256, size = excluded.size,
    manifest_sha256 = excluded.manifest_sha256, first_at = excluded.first_at, last_at = excluded.last_at,
    root = excluded.root, sealed_at = excluded.sealed_at, expired_at = excluded.expired_at
WHERE segments.last_position = excluded.last_position AND segments.state <> 'sealed'
