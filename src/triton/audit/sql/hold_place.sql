-- Places a hold; again is no error. Answers it, as it is now.
INSERT INTO holds (hold, scope, value, reason, placed_by)
VALUES (%(hold)s, %(scope)s, %(value)s, %(reason)s, %(by)s)
ON CONFLICT (hold) DO UPDATE SET hold = excluded.hold
RETURNING scope, value, lifted_at IS NOT NULL
