-- For how many events the newest head was signed, and the digest of the last of them.
SELECT size, digest FROM tree_heads
WHERE partition = %(partition)s AND epoch = %(epoch)s AND digest IS NOT NULL AND size > 0
ORDER BY size DESC, signed_at DESC LIMIT 1
