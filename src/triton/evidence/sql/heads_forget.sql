-- Removes heads that are in the archive and older than a day, but for the newest of the tree.
DELETE FROM tree_heads
WHERE partition = %(partition)s AND epoch = %(epoch)s AND stored
  AND signed_at < clock_timestamp() - interval '1 day'
  AND (size, signed_at) <> (SELECT size, signed_at FROM tree_heads
                            WHERE partition = %(partition)s AND epoch = %(epoch)s
                            ORDER BY size DESC, signed_at DESC LIMIT 1)
