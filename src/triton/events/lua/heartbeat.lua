-- Extends the leases of a living worker, and says that it lives.
-- ARGV[2]    msgpack {lease ms, failed ttl ms, worker, or '' where another partition keeps it}
-- ARGV[3]    what the worker says of itself (msgpack), or '' for what it said last
-- ARGV[4..]  job, attempt, job, attempt, ...
-- Answers  one for each job: 'ok'; 'cancel' (ok, and somebody wants it to stop); 'stale'
-- Events   job.failed of any job that did not start in time
--@include heads
--@include expire
local a, about = cmsgpack.unpack(ARGV[2]), ARGV[3]
local lease_ms, failed_ttl, worker = a[1], a[2], a[3]
local before = pos
local expires = whole(NOW + lease_ms * 1000)
local answers = {}
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local h = head_of(id)
  if h and h.state == 'processing' and whole(h.attempt) == ARGV[i + 1] then
    redis.call('ZADD', P .. 'leases:' .. h.queue, 'XX', expires, id)
    answers[#answers + 1] = h.cancel and 'cancel' or 'ok'
  else
    answers[#answers + 1] = 'stale'
  end
end
expire_all(failed_ttl)
if pos > before then commit() end
local key, workers = P .. 'worker:' .. worker, P .. 'workers'
if about ~= '' then redis.call('SET', key, about, 'PX', ttl_of(lease_ms)) end
if about ~= '' or (worker ~= '' and redis.call('PEXPIRE', key, ttl_of(lease_ms)) == 1) then
  redis.call('ZREMRANGEBYSCORE', workers, '-inf', whole(NOW))
  redis.call('ZADD', workers, expires, worker)
  -- Never sooner than another worker's longer lease asks for.
  redis.call('PEXPIRE', workers, ttl_of(lease_ms), 'NX')
  redis.call('PEXPIRE', workers, ttl_of(lease_ms), 'GT')
end
return answers
