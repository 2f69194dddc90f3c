-- Failed jobs, to be listed and counted by actor, error class, reason and time.
--
-- job_states has no index besides its key, so that updates stay cheap (see 0001): what is asked of failed jobs
-- alone is kept in a small table beside it, by triggers that fire for no other job. They run in the
-- projector's transaction, so the table is at the same position as the view `jobs`.
CREATE TABLE failed_jobs (
    job        text COLLATE "C" PRIMARY KEY,
    tenant     text NOT NULL,
    queue      text NOT NULL,
    actor      text NOT NULL,
    -- The class name of what was raised, cut to what an index holds; empty where there is none.
    error_type text NOT NULL,
    reason     text NOT NULL,
    failed_at  timestamptz NOT NULL
);
CREATE INDEX failed_jobs_newest ON failed_jobs (failed_at, job);
CREATE INDEX failed_jobs_actor ON failed_jobs (actor, failed_at, job);
CREATE INDEX failed_jobs_error ON failed_jobs (error_type, failed_at, job);

CREATE FUNCTION keep_failed_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO failed_jobs (job, tenant, queue, actor, error_type, reason, failed_at)
    SELECT c.job, c.tenant, c.queue, c.actor, coalesce(left(NEW.error ->> 'type', 200), ''),
           left(NEW.reason, 200), coalesce(NEW.finished_at, NEW.updated_at)
    FROM job_submissions c WHERE c.job = NEW.job
    ON CONFLICT (job) DO UPDATE
    SET error_type = EXCLUDED.error_type, reason = EXCLUDED.reason, failed_at = EXCLUDED.failed_at;
    RETURN NULL;
END $$;

CREATE FUNCTION forget_failed_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM failed_jobs WHERE job = OLD.job;
    RETURN NULL;
END $$;

CREATE TRIGGER job_failed AFTER INSERT OR UPDATE ON job_states
    FOR EACH ROW WHEN (NEW.state = 'failed') EXECUTE FUNCTION keep_failed_job();
CREATE TRIGGER job_failed_no_more AFTER UPDATE ON job_states
    FOR EACH ROW WHEN (OLD.state = 'failed' AND NEW.state <> 'failed') EXECUTE FUNCTION forget_failed_job();
CREATE TRIGGER job_failed_is_gone AFTER DELETE ON job_states
    FOR EACH ROW WHEN (OLD.state = 'failed') EXECUTE FUNCTION forget_failed_job();

INSERT INTO failed_jobs (job, tenant, queue, actor, error_type, reason, failed_at)
SELECT job, tenant, queue, actor, coalesce(left(error ->> 'type', 200), ''), left(reason, 200),
       coalesce(finished_at, updated_at)
FROM jobs WHERE state = 'failed';

CREATE VIEW dead_letters AS
SELECT f.job, f.tenant, f.queue, f.actor, f.error_type, s.error ->> 'message' AS message, f.reason,
       s.attempt, s.deaths, c.submitted_at, f.failed_at
FROM failed_jobs f JOIN job_states s USING (job) JOIN job_submissions c USING (job);
COMMENT ON VIEW dead_letters IS
    'One row per failed job; reason: error, died (poison), rejected, expired.';
