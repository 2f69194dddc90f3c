-- Where a projector stands, and the end of a batch that it has begun.
SELECT epoch, position, digest FROM checkpoints
WHERE projector = %(projector)s AND partition = %(partition)s
UNION ALL
SELECT epoch, last_position, digest FROM insert_intents
WHERE projector = %(projector)s AND partition = %(partition)s
