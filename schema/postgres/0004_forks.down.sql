DROP TABLE lost_events;
DROP TABLE log_epochs;
