-- One process at a time removes expired rows, as long as its session lasts.
SELECT pg_try_advisory_lock(hashtext('triton.sweep'))
