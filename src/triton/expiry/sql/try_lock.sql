-- One process at a time lets segments of a partition expire, as long as its session lasts.
SELECT pg_try_advisory_lock(hashtext('triton.expiry'), %(partition)s)
