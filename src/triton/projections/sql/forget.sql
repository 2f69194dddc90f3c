-- Makes room for jobs that are born again: an id may come back when its first life was forgotten.
WITH gone AS (DELETE FROM job_submissions WHERE job = ANY(%(jobs)s))
DELETE FROM job_states WHERE job = ANY(%(jobs)s)
