DROP VIEW IF EXISTS failures_per_minute;
DROP VIEW IF EXISTS latency_per_minute;
DROP VIEW IF EXISTS throughput_per_minute;
DROP VIEW IF EXISTS job_times_fill;
DROP TABLE IF EXISTS job_times;
DROP TABLE IF EXISTS job_events;
