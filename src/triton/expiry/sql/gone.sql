-- The file is gone.
UPDATE expiries SET state = 'expired', expired_at = clock_timestamp()
WHERE partition = %(partition)s AND epoch = %(epoch)s AND first_position = %(first)s AND state = 'removing'
