DROP VIEW IF EXISTS jobs_per_day;
DROP VIEW IF EXISTS cost_analysis_of_pharmacy;
DROP VIEW IF EXISTS cost_analysis_of_claims;
DROP TABLE IF EXISTS cost_analysis SYNC;
DROP TABLE IF EXISTS enrollment SYNC;
DROP TABLE IF EXISTS utilization_events SYNC;
DROP TABLE IF EXISTS clinical SYNC;
DROP TABLE IF EXISTS pharmacy SYNC;
DROP TABLE IF EXISTS claims SYNC;
