-- Accepts jobs. A job whose id is known is left as it is.
-- ARGV[2]    failed ttl ms
-- ARGV[3..]  submissions, three arguments each (see submit_job)
-- Answers    one for each, as submit_job says
-- Events     job.submitted; job.cancelled of a job that is replaced
--@include submit_job
local answers = {}
local before = pos
local failed_ttl = tonumber(ARGV[2])
for i = 3, #ARGV, 3 do
  answers[#answers + 1] = submit_job(i, failed_ttl)
end
if pos > before then commit() end
return answers
