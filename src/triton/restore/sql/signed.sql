-- How many events the newest signed head of a tree covers.
SELECT max(size) FROM tree_heads WHERE partition = %(partition)s AND epoch = %(epoch)s
