SELECT projector, partition, epoch, position, digest, updated_at FROM checkpoints ORDER BY projector, partition
