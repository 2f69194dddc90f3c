"""Places in the log that readers keep in PostgreSQL: the lease on a checkpoint, its holder kept alive."""
