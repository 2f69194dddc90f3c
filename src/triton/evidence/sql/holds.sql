-- The legal holds that were not lifted.
SELECT hold, scope, value FROM holds WHERE lifted_at IS NULL ORDER BY placed_at, hold
