-- An object of heads is in the archive.
UPDATE tree_heads SET stored = true
WHERE partition = %(partition)s AND epoch = %(epoch)s AND key = %(key)s
