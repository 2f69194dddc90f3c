-- From here on nobody reads the segment. No row: an older one of its tree is still to be read.
UPDATE segments s SET expired_at = clock_timestamp()
WHERE partition = %(partition)s AND epoch = %(epoch)s AND first_position = %(first)s AND expired_at IS NULL
  AND NOT EXISTS (SELECT FROM segments o
                  WHERE o.partition = s.partition AND o.epoch = s.epoch AND o.first_position < s.first_position
                    AND o.expired_at IS NULL)
