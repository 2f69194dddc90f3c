-- Lets others.
SELECT pg_advisory_unlock(hashtext('triton.sweep'))
