-- Takes a checkpoint over, if nobody holds it. A new fence makes every earlier holder's commit fail.
-- Answers the checkpoint, or no row while another holds the lease.
INSERT INTO checkpoints
    (projector, partition, epoch, position, digest, owner, fence, leased_until, updated_at)
VALUES (%(projector)s, %(partition)s, %(epoch)s, 0, '', %(owner)s, 1,
        clock_timestamp() + make_interval(secs => %(seconds)s), clock_timestamp())
ON CONFLICT (projector, partition) DO UPDATE
SET owner = excluded.owner, fence = checkpoints.fence + 1, leased_until = excluded.leased_until
WHERE checkpoints.leased_until < clock_timestamp() OR checkpoints.owner = excluded.owner
RETURNING epoch, position, digest, fence
