-- Gives the heads that belong to no object of the archive yet a common one. %(key)s: the key without its end.
UPDATE tree_heads t
SET key = %(key)s || lpad(newest.size::text, 20, '0') || '-'
          || lpad(((extract(epoch FROM newest.signed_at) * 1000000)::bigint)::text, 20, '0')
FROM (SELECT size, signed_at FROM tree_heads
      WHERE partition = %(partition)s AND epoch = %(epoch)s AND key IS NULL
      ORDER BY size DESC, signed_at DESC LIMIT 1) newest
WHERE t.partition = %(partition)s AND t.epoch = %(epoch)s AND t.key IS NULL
