-- Begins to let a segment expire; again is no error.
INSERT INTO expiries (partition, epoch, first_position, last_position, key, reason, by)
VALUES (%(partition)s, %(epoch)s, %(first)s, %(last)s, %(key)s, %(reason)s, %(by)s)
ON CONFLICT DO NOTHING
