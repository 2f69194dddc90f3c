-- Removes the events of a partition that expired: their bytes, not only from what is shown.
ALTER TABLE job_events DELETE WHERE partition = {partition:UInt32} AND position <= {until:UInt64}
