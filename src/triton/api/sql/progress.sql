-- How far the view `jobs` has come in each partition.
SELECT partition, position FROM checkpoints WHERE projector = %(projector)s
