-- Hands ready jobs to a worker; on the way promotes what is due, takes back what the dead held, and ends
-- what did not start in time. Of a paused queue, nothing is handed out.
-- ARGV[2]  msgpack {worker, op, lease_ms, limit, max_deaths, failed_ttl_ms, queues}
-- ARGV[3]  data of job.started
-- Answers  {due in ms or -1, {id, attempt, body, queue, tenant, causation, correlation, traceparent, waited}...}
--          waited: microseconds for which it was ready, -1 where that is not known
--          op repeated: the jobs of the first time that are still under its lease
-- Events   job.failed (expired); job.due; job.lease_lost (and job.failed, job.cancelled); job.started
--@include heads
--@include message
--@include expire
local a = cmsgpack.unpack(ARGV[2])
local MOST = 1000 -- jobs in one claim: `unpack` fails above 7,900 values, when the events are written
local worker, op, lease_ms, limit, max_deaths, failed_ttl, queues =
  a[1], a[2], a[3], math.min(a[4], MOST), a[5], a[6], a[7]
local started = ARGV[3]
local BATCH = 100 -- due and dead jobs handled per queue and call: bounds the pause
local FAR = math.max(lease_ms * 1000, 60000000) -- a lease reaches no further ahead, when the clock went back
local by = 'worker:' .. worker
local last_claim = P .. 'claim:' .. worker
local answer = { -1 }

local function give(h)
  answer[#answer + 1] = { h.id, h.attempt, message_of(h) or '', h.queue, h.tenant, h.causation, h.correlation,
    h.traceparent, h.waited or -1 }
end

local last = redis.call('GET', last_claim)
if last then
  last = cmsgpack.unpack(last)
  if last[1] == op then
    for i = 2, #last do
      local h = head_of(last[i])
      if h and h.state == 'processing' and field(h, 'worker') == worker then
        give(h)
      end
    end
    return answer
  end
end

local function promote(queue)
  local due_key = P .. 'due:' .. queue
  local ids = redis.call('ZRANGEBYSCORE', due_key, '-inf', whole(NOW), 'LIMIT', 0, BATCH)
  for _, id in ipairs(ids) do
    local h = head_of(id)
    if h then
      append(h, 'job.due', 'system', EMPTY)
      h.order = order_of(h)
      redis.call('HSET', key_of(id), 'state', 'pending', 'version', h.version, 'at', AT,
        'pos', POS, 'order', h.order)
      redis.call('HDEL', key_of(id), 'due')
      redis.call('ZADD', P .. 'ready:' .. queue, h.order, id)
    end
  end
  if #ids > 0 then redis.call('ZREM', due_key, unpack(ids)) end
end

local function reclaim(queue)
  local leases = P .. 'leases:' .. queue
  if NOW < LAST then
    -- The clock went back. Who lives renews its leases in seconds; those of the dead must not last for hours.
    local far = whole(NOW + FAR)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. far, '+inf', 'LIMIT', 0, BATCH)) do
      redis.call('ZADD', leases, far, id)
    end
  end
  local ids = redis.call('ZRANGEBYSCORE', leases, '-inf', whole(NOW), 'LIMIT', 0, BATCH)
  for _, id in ipairs(ids) do
    local h = head_of(id)
    if h then
      local dead, deaths = field(h, 'worker'), number(h, 'deaths') + 1
      append(h, 'job.lease_lost', 'system', cmsgpack.pack({ worker = dead, deaths = deaths }))
      if h.cancel then
        redis.call('HSET', key_of(id), 'deaths', deaths)
        end_as_asked(h, 'system', failed_ttl)
      elseif deaths > max_deaths then
        local failed = cmsgpack.pack({ reason = 'died', error = { type = 'WorkerDied',
          message = deaths .. ' leases lost, the last by worker ' .. dead } })
        append(h, 'job.failed', 'system', failed)
        redis.call('HSET', key_of(id), 'state', 'failed', 'version', h.version, 'at', AT,
          'finished', AT, 'pos', POS, 'deaths', deaths, 'outcome', failed,
          'worker', '')
        retire(h, failed_ttl, true)
      else
        redis.call('HSET', key_of(id), 'state', 'pending', 'version', h.version, 'at', AT,
          'pos', POS, 'deaths', deaths, 'worker', '')
        redis.call('ZADD', P .. 'ready:' .. queue, order_before(h), id)
      end
    end
  end
  if #ids > 0 then redis.call('ZREM', leases, unpack(ids)) end
end

local given = {}
local function take(queue)
  local ready = P .. 'ready:' .. queue
  local ids = redis.call('ZRANGE', ready, 0, limit - #given - 1)
  if #ids == 0 then return end
  local lease = NOW + lease_ms * 1000
  local leases = {}
  for _, id in ipairs(ids) do
    local h = head_of(id)
    if h and is_expired(h) then
      expire(h, failed_ttl)
    elseif h then
      -- What was just submitted has no time of its own: it is ready since then.
      local since = h.version == 1 and h.submitted or 0
      if since == 0 then since = number(h, 'at') end
      h.waited = NOW - since
      h.attempt = h.attempt + 1
      append(h, 'job.started', by, started)
      redis.call('HSET', key_of(id), 'state', 'processing', 'version', h.version,
        'attempt', h.attempt, 'at', AT, 'pos', POS, 'worker', worker, 'started', AT)
      if h.attempt == 1 then unexpire(h) end
      if h.attempt > 1 then redis.call('HDEL', key_of(id), 'percent', 'stage', 'seq') end
      leases[#leases + 1] = lease
      leases[#leases + 1] = id
      given[#given + 1] = id
      give(h)
    end
  end
  redis.call('ZREM', ready, unpack(ids))
  if #leases > 0 then redis.call('ZADD', P .. 'leases:' .. queue, unpack(leases)) end
end

local before = pos
expire_all(failed_ttl)
for _, queue in ipairs(queues) do
  promote(queue)
  reclaim(queue)
  if hold_of(queue) ~= 'paused' then
    if #given < limit then take(queue) end
    if redis.call('EXISTS', P .. 'ready:' .. queue) == 1 then ring(queue) end
  end
end
if pos > before then commit() end
if #given > 0 then
  redis.call('SET', last_claim, cmsgpack.pack({ op, unpack(given) }), 'PX', ttl_of(lease_ms * 4))
end
if #given < limit or limit == 0 then -- a worker with more partitions than threads asks some of them for nothing
  local wake
  for _, queue in ipairs(queues) do
    local first = redis.call('ZRANGE', P .. 'due:' .. queue, 0, 0, 'WITHSCORES')[2]
    if first and (not wake or tonumber(first) < wake) then wake = tonumber(first) end
  end
  if wake then answer[1] = math.max(0, math.ceil((wake - NOW) / 1000)) end
end
return answer
