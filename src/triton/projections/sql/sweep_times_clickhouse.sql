-- Removes the times of jobs all of whose events expired. Before the events themselves.
ALTER TABLE job_times DELETE
WHERE job IN (SELECT job FROM job_events WHERE partition = {partition:UInt32} AND position <= {until:UInt64})
  AND job NOT IN (
    SELECT job FROM job_events
    WHERE partition = {partition:UInt32} AND position > {until:UInt64}
      AND job IN (SELECT job FROM job_events WHERE partition = {partition:UInt32} AND position <= {until:UInt64}))
