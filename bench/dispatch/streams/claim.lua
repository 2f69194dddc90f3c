-- Hands ready jobs to a worker of the consumer group `w`; the group's pending entries are the leases.
-- ARGV[2] queue, [3] worker, [4] lease in ms, [5] limit, [6] data of job.started,
--         [7] stream id and [8] job that a blocking read has taken already, or ''
-- Answers  {id, attempt, body, queue, tenant} for each
local queue, worker, lease_ms, limit, started = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local READY, DUE = P .. 'ready:' .. queue, P .. 'due:' .. queue
local BATCH = 100
local before = pos

local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', AT, 'LIMIT', 0, BATCH)
for _, id in ipairs(due) do
  local h = head_of(id)
  if h then wait_again(h, 'job.due', '\128', redis.call('XADD', READY, '*', 'j', id)) end
end
if #due > 0 then redis.call('ZREM', DUE, unpack(due)) end

-- Who is dead shows only in the idle times of all pending entries. Looking through them is dear, so it is
-- done page by page, and once a second when a pass is over.
local lost = { '0-0', {} }
if NOW >= tonumber(redis.call('HGET', META, 'look:' .. queue) or 0) then
  local cursor = redis.call('HGET', META, 'cursor:' .. queue) or '0-0'
  lost = redis.call('XAUTOCLAIM', READY, 'w', worker, lease_ms, cursor, 'COUNT', BATCH)
  redis.call('HSET', META, 'cursor:' .. queue, lost[1])
  if lost[1] == '0-0' then redis.call('HSET', META, 'look:' .. queue, whole(NOW + 1000000)) end
end
for _, entry in ipairs(lost[2]) do
  local h = head_of(entry[2][2])
  redis.call('XACK', READY, 'w', entry[1])
  redis.call('XDEL', READY, entry[1])
  -- A stream cannot take it back where it was: it goes to the end.
  if h then wait_again(h, 'job.lease_lost', '\128', redis.call('XADD', READY, '*', 'j', h.id)) end
end

local answer = {}
local function give(place, id)
  local h = head_of(id)
  if h then
    answer[#answer + 1] = start(h, worker, started, place)
  else
    redis.call('XACK', READY, 'w', place)
    redis.call('XDEL', READY, place)
  end
end
if ARGV[7] ~= '' then give(ARGV[7], ARGV[8]) end
if limit > #answer then
  local read = redis.call('XREADGROUP', 'GROUP', 'w', worker, 'COUNT', limit - #answer,
    'STREAMS', READY, '>')
  if read then
    for _, entry in ipairs(read[1][2]) do give(entry[1], entry[2][2]) end
  end
end
if pos > before then commit() end
return answer
