DROP TABLE insert_intents;
DROP TABLE parked_events;
DROP TABLE checkpoints;
DROP TABLE job_events;
DROP VIEW jobs;
DROP TABLE job_states;
DROP TABLE job_submissions;
