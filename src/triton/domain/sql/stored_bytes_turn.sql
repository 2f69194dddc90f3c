-- Until the end of the transaction nobody else stores documents of this tenant: what is counted stays so.
SELECT pg_advisory_xact_lock(hashtextextended('triton.stored_bytes:' || %(tenant)s, 0))
