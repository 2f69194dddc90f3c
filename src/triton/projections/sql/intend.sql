-- Says which range goes into ClickHouse next, before it goes.
INSERT INTO insert_intents
    (projector, partition, epoch, first_position, last_position, rows, digest, token)
VALUES (%(projector)s, %(partition)s, %(epoch)s, %(first)s, %(last)s, %(rows)s, %(digest)s, %(token)s)
ON CONFLICT (projector, partition) DO UPDATE
SET epoch = excluded.epoch, first_position = excluded.first_position,
    last_position = excluded.last_position, rows = excluded.rows, digest = excluded.digest,
    token = excluded.token, created_at = excluded.created_at
