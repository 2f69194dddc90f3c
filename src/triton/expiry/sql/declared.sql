-- An event of the log says that the segment expires.
UPDATE expiries SET state = 'declared', declared_epoch = %(in)s, declared_at = %(at)s
WHERE partition = %(partition)s AND epoch = %(epoch)s AND first_position = %(first)s
  AND state IN ('intended', 'declared')
