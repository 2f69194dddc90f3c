-- The sizes that heads of a log were signed for, the largest first, and the digest of the last entry of each.
SELECT size, min(digest) FROM tree_heads
WHERE partition = %(partition)s AND epoch = %(epoch)s AND digest IS NOT NULL AND size > 0
GROUP BY size ORDER BY size DESC
