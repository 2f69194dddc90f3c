-- Segment, tiles and manifest are in the archive, and were read back.
UPDATE segments
SET state = 'stored', sha256 = %(sha256)s, size = %(size)s, manifest_sha256 = %(manifest_sha256)s,
    first_at = to_timestamp(0) + %(first_at)s * interval '1 microsecond',
    last_at = to_timestamp(0) + %(last_at)s * interval '1 microsecond', root = %(root)s
WHERE partition = %(partition)s AND epoch = %(epoch)s AND first_position = %(first)s AND state = 'sealing'
