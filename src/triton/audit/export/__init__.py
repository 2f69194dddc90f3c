"""Takes events out of the log for who has no Triton: files, a manifest of them, and proofs on request."""
