-- Who places a hold or sets retention and who lets segments expire take turns, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('triton.audit.rules'))
