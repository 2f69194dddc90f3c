-- Removes heads that are in the archive and older than a day, but for the newest of the tree.
DELETE FROM tree_heads
WHERE partition = %(partition)s AND epoch = %(epoch)s AND stored
  AND signed_at < clock_timestamp() - interval '1 day'
  AND signed_at < (SELECT max(signed_at) FROM tree_heads
                   WHERE partition = %(partition)s AND epoch = %(epoch)s)
