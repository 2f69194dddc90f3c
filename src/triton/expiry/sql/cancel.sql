-- Ends an expiry that nobody was told of.
DELETE FROM expiries
WHERE partition = %(partition)s AND epoch = %(epoch)s AND first_position = %(first)s AND state = 'intended'
