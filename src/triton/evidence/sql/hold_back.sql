-- The checkpoints of a partition, each of which keeps what its projector has not read.
SELECT projector, epoch, position FROM checkpoints WHERE partition = %(partition)s ORDER BY projector
