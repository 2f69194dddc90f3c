-- One writer per job and document at a time: two attempts may overlap when a lease was lost.
SELECT pg_advisory_xact_lock(hashtextextended(%(document)s || ' ' || %(job)s, 0))
