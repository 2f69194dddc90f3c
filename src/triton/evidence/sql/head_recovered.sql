-- Makes the row of a signed head that is in the archive.
INSERT INTO tree_heads (partition, epoch, signed_at, size, root, note, key, stored)
VALUES (%(partition)s, %(epoch)s, to_timestamp(0) + %(at)s * interval '1 microsecond', %(size)s, %(root)s,
        %(note)s, %(key)s, true)
ON CONFLICT DO NOTHING
