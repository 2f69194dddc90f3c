-- How many events of a partition expired and are still there.
SELECT count() FROM job_events WHERE partition = {partition:UInt32} AND position <= {until:UInt64}
