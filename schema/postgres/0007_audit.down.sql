DROP INDEX job_submissions_causation;
DROP TABLE retention, holds;
