-- The signed head of most events of a tree, the last of several.
SELECT note, (extract(epoch FROM signed_at) * 1000000)::bigint FROM tree_heads
WHERE partition = %(partition)s AND epoch = %(epoch)s
ORDER BY size DESC, signed_at DESC LIMIT 1
