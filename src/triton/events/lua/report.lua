-- Records what running jobs say of themselves.
-- ARGV[2..]  two arguments each: msgpack {job, attempt, seq, by, type, percent, stage, step name};
--            the event's data. seq counts the reports of an attempt from 1: what was seen is not written again
-- Answers  one for each: 'ok', 'already', 'stale', 'missing'
-- Events   job.progressed, job.output, job.step_completed
--@include heads
local answers = {}
local before = pos
for i = 2, #ARGV, 2 do
  local r, data = cmsgpack.unpack(ARGV[i]), ARGV[i + 1]
  local h = head_of(r[1])
  local answer = 'ok'
  if not h then
    answer = 'missing'
  elseif h.state ~= 'processing' or h.attempt ~= r[2] then
    answer = 'stale'
  elseif r[3] <= h.seq then
    answer = 'already'
  else
    append(h, r[5], r[4], data)
    redis.call('HSET', key_of(h.id), 'version', h.version, 'at', AT, 'pos', POS, 'seq', r[3])
    if r[5] == 'job.progressed' then
      redis.call('HSET', key_of(h.id), 'percent', r[6], 'stage', r[7])
    elseif r[5] == 'job.step_completed' then
      redis.call('HSET', P .. 'steps:' .. h.id, r[8], data)
    end
  end
  answers[#answers + 1] = answer
end
if pos > before then commit() end
return answers
