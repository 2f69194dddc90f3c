-- The newest signed head of a tree.
SELECT note, (extract(epoch FROM signed_at) * 1000000)::bigint FROM tree_heads
WHERE partition = %(partition)s AND epoch = %(epoch)s
ORDER BY signed_at DESC LIMIT 1
