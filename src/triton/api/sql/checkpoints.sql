SELECT projector, partition, position, updated_at FROM checkpoints ORDER BY projector, partition
