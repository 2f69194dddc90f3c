-- All holds that were ever placed, or those that were not lifted.
SELECT hold, scope, value, reason, placed_by, (extract(epoch FROM placed_at) * 1000000)::bigint,
       coalesce(lifted_by, ''), coalesce((extract(epoch FROM lifted_at) * 1000000)::bigint, 0),
       coalesce(lifted_why, '')
FROM holds
WHERE %(lifted)s OR lifted_at IS NULL
ORDER BY placed_at, hold
