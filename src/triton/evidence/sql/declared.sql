-- The settings by which the archiver of a partition trims, as it said when it began.
SELECT about FROM checkpoints WHERE projector = 'archiver' AND partition = %(partition)s
