-- The newest of them, for a person to look at.
SELECT c.job, c.actor, c.queue, c.tenant, s.state, s.error, s.reason, c.submitted_at, s.finished_at
--@include selection
ORDER BY c.submitted_at DESC, c.job DESC
LIMIT %(limit)s
