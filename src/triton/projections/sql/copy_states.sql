-- Adds jobs' states: tab-separated lines.
COPY job_states (job, state, attempt, version, position, percent, stage, worker, deaths, cancel_requested,
                 reason, due_at, started_at, finished_at, updated_at, error, result) FROM STDIN
