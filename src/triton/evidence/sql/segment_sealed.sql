-- A signed tree head covers the segment.
UPDATE segments SET state = 'sealed', sealed_at = clock_timestamp()
WHERE partition = %(partition)s AND epoch = %(epoch)s AND first_position = %(first)s AND state = 'stored'
