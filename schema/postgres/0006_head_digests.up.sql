-- Of the last entry that a head covers, as `checkpoints.digest`; null where the head was found in the archive.
ALTER TABLE tree_heads ADD COLUMN digest text;
