-- Extends the leases of a living worker.
-- ARGV[2]  lease in ms
-- ARGV[3..]  job, attempt, job, attempt, ...
-- Answers  one for each job: 'ok'; 'cancel' (ok, and somebody wants it to stop); 'stale'
-- Events   none
local expires = whole(NOW + tonumber(ARGV[2]) * 1000)
local answers = {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local h = redis.call('HMGET', key_of(id), 'state', 'attempt', 'cancel', 'queue')
  if h[1] == 'processing' and h[2] == ARGV[i + 1] then
    redis.call('ZADD', P .. 'leases:' .. h[4], 'XX', expires, id)
    answers[#answers + 1] = h[3] and 'cancel' or 'ok'
  else
    answers[#answers + 1] = 'stale'
  end
end
return answers
