-- The segments of all trees, and the SHA-256 of each one's manifest.
SELECT partition, epoch, first_position, last_position, manifest_sha256, state
FROM segments
ORDER BY partition, epoch, first_position
