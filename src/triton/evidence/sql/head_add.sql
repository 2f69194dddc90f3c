-- Adds a signed head, later than all before it.
INSERT INTO tree_heads (partition, epoch, signed_at, size, root, note, digest)
SELECT %(partition)s, %(epoch)s,
       greatest(clock_timestamp(), max(signed_at) + interval '1 microsecond'), %(size)s, %(root)s, %(note)s,
       %(digest)s
FROM tree_heads
WHERE partition = %(partition)s AND epoch = %(epoch)s
