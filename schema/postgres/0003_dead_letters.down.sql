DROP VIEW dead_letters;
DROP TRIGGER job_failed_is_gone ON job_states;
DROP TRIGGER job_failed_no_more ON job_states;
DROP TRIGGER job_failed ON job_states;
DROP FUNCTION forget_failed_job();
DROP FUNCTION keep_failed_job();
DROP TABLE failed_jobs;
