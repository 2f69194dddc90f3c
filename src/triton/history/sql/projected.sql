-- How far the index is, for each partition.
SELECT partition, epoch, position FROM checkpoints WHERE projector = %(projector)s
