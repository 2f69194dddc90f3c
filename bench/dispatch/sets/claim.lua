-- Hands ready jobs to a worker; a third sorted set holds the leases by when they end.
-- ARGV[2] queue, [3] worker, [4] lease in ms, [5] limit, [6] data of job.started
-- Answers  {id, attempt, body, queue, tenant} for each
local queue, worker, lease_ms, limit, started = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local READY, DUE, LEASES = P .. 'ready:' .. queue, P .. 'due:' .. queue, P .. 'leases:' .. queue
local BATCH = 100
local before = pos

local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', AT, 'LIMIT', 0, BATCH)
for _, id in ipairs(due) do
  local h = head_of(id)
  if h then
    wait_again(h, 'job.due', '\128', h.place)
    redis.call('ZADD', READY, h.place, id)
  end
end
if #due > 0 then redis.call('ZREM', DUE, unpack(due)) end

local lost = redis.call('ZRANGEBYSCORE', LEASES, '-inf', AT, 'LIMIT', 0, BATCH)
for _, id in ipairs(lost) do
  local h = head_of(id)
  if h then
    wait_again(h, 'job.lease_lost', '\128', h.place)
    redis.call('ZADD', READY, h.place, id)
  end
end
if #lost > 0 then redis.call('ZREM', LEASES, unpack(lost)) end

local answer, leases = {}, {}
local ids = redis.call('ZRANGE', READY, 0, limit - 1)
for _, id in ipairs(ids) do
  local h = head_of(id)
  if h then
    answer[#answer + 1] = start(h, worker, started, h.place)
    leases[#leases + 1] = whole(NOW + lease_ms * 1000)
    leases[#leases + 1] = id
  end
end
if #ids > 0 then redis.call('ZREM', READY, unpack(ids)) end
if #leases > 0 then redis.call('ZADD', LEASES, unpack(leases)) end
if redis.call('EXISTS', READY) == 1 and redis.call('EXISTS', P .. 'bell:' .. queue) == 0 then
  redis.call('LPUSH', P .. 'bell:' .. queue, 1)
end
if pos > before then commit() end
return answer
