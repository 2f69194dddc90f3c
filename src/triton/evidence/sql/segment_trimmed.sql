-- Says which segments have left Redis.
UPDATE segments SET trimmed_at = clock_timestamp()
WHERE partition = %(partition)s AND epoch = %(epoch)s AND last_position <= %(to)s AND trimmed_at IS NULL
