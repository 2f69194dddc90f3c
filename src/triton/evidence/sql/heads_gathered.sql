-- The objects of heads that are not in the archive yet.
SELECT key, array_agg(note ORDER BY signed_at) FROM tree_heads
WHERE partition = %(partition)s AND epoch = %(epoch)s AND key IS NOT NULL AND NOT stored
GROUP BY key ORDER BY key
