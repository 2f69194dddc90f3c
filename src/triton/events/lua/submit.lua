-- Accepts jobs. A job whose id is known is left as it is.
-- ARGV[2..]  submissions, three arguments each (see submit_job)
-- Answers    one of 'ok', 'exists' for each
-- Events     job.submitted
--@include submit_job
local answers = {}
for i = 2, #ARGV, 3 do
  answers[#answers + 1] = submit_job(i)
end
commit()
return answers
