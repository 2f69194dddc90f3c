-- Fixes the range of the next segment.
INSERT INTO segments (partition, epoch, first_position, last_position, events, state, key)
VALUES (%(partition)s, %(epoch)s, %(first)s, %(last)s, %(last)s::bigint - %(first)s + 1, 'sealing', %(key)s)
