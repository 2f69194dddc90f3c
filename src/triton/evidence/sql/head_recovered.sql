-- Makes the row of a signed head that is in the archive. %(at)s and %(key)s: null for the published one that is in
-- no object of heads yet.
INSERT INTO tree_heads (partition, epoch, signed_at, size, root, note, key, stored)
VALUES (%(partition)s, %(epoch)s,
        coalesce(to_timestamp(0) + %(at)s::bigint * interval '1 microsecond', clock_timestamp()), %(size)s, %(root)s,
        %(note)s, %(key)s::text, %(key)s::text IS NOT NULL)
ON CONFLICT DO NOTHING
