-- Lifts a hold. Answers what it was on; no row where there is none, or it was lifted before.
UPDATE holds
SET lifted_by = %(by)s, lifted_at = clock_timestamp(), lifted_why = %(reason)s
WHERE hold = %(hold)s AND lifted_at IS NULL
RETURNING scope, value
