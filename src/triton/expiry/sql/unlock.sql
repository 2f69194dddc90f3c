-- Lets others.
SELECT pg_advisory_unlock(hashtext('triton.expiry'), %(partition)s)
