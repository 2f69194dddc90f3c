-- The expiries of a partition that were begun and not ended, in the order in which they go on.
SELECT epoch, first_position, last_position, state, reason, coalesce(declared_epoch, ''), coalesce(declared_at, 0)
FROM expiries
WHERE partition = %(partition)s AND state <> 'expired'
ORDER BY (epoch <> %(epoch)s), intended_at, first_position
