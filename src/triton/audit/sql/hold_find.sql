-- One hold that was not lifted.
SELECT scope, value FROM holds WHERE hold = %(hold)s AND lifted_at IS NULL
