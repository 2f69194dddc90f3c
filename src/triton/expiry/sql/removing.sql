-- Nothing keeps the segment, and the event that says so is sealed: its file may go.
UPDATE expiries SET state = 'removing'
WHERE partition = %(partition)s AND epoch = %(epoch)s AND first_position = %(first)s AND state = 'declared'
