-- What both prototypes share: keys, the clock, the head hash and the log entry.
-- KEYS[1]  the log; ARGV[1] the prefix of every other key
local LOG, P = KEYS[1], ARGV[1]
local META = P .. 'meta'
local function whole(n) return string.format('%.0f', n) end
local t = redis.call('TIME')
local NOW = t[1] * 1000000 + t[2]
local AT = whole(NOW)
local pos = tonumber(redis.call('HGET', META, 'pos') or 0)

local function key_of(id) return P .. 'job:' .. id end

local function head_of(id)
  local h = redis.call('HMGET', key_of(id), 'state', 'version', 'attempt', 'queue', 'tenant', 'place')
  if not h[1] then return nil end
  return { id = id, state = h[1], version = tonumber(h[2]), attempt = tonumber(h[3]), queue = h[4],
    tenant = h[5], place = h[6] }
end

local function append(h, kind, by, data)
  pos = pos + 1
  h.version = h.version + 1
  redis.call('XADD', LOG, whole(pos) .. '-0', 'type', kind, 'job', h.id, 'version', h.version,
    'attempt', h.attempt, 'at', AT, 'by', by, 'causation', '', 'correlation', '', 'traceparent', '',
    'tenant', h.tenant, 'queue', h.queue, 'schema', 1, 'data', data)
end

local function born(id, queue, tenant, data, body)
  local h = { id = id, version = 0, attempt = 0, queue = queue, tenant = tenant }
  append(h, 'job.submitted', 'system', data)
  redis.call('SET', P .. 'body:' .. id, body)
  return h
end

-- `place`: where the queue finds the job again, its order in a sorted set or its id in a stream.
local function write_born(h, due, place)
  redis.call('HSET', key_of(h.id), 'state', due > 0 and 'scheduled' or 'pending', 'version', 1,
    'attempt', 0, 'queue', h.queue, 'actor', 'app.tasks.noop', 'tenant', h.tenant, 'by', 'system',
    'submitted', AT, 'at', AT, 'pos', whole(pos), 'place', place)
end

local function start(h, worker, started, place)
  h.attempt = h.attempt + 1
  append(h, 'job.started', 'worker:' .. worker, started)
  redis.call('HSET', key_of(h.id), 'state', 'processing', 'version', h.version, 'attempt', h.attempt,
    'at', AT, 'pos', whole(pos), 'started', AT, 'worker', worker, 'place', place)
  return { h.id, h.attempt, redis.call('GET', P .. 'body:' .. h.id) or '', h.queue, h.tenant }
end

local function wait_again(h, kind, data, place)
  append(h, kind, 'system', data)
  redis.call('HSET', key_of(h.id), 'state', 'pending', 'version', h.version, 'at', AT,
    'pos', whole(pos), 'place', place)
end

local function complete(h, worker, data)
  append(h, 'job.completed', 'worker:' .. worker, data)
  redis.call('HSET', key_of(h.id), 'state', 'completed', 'version', h.version, 'at', AT,
    'finished', AT, 'pos', whole(pos), 'outcome', data, 'closed', h.attempt)
  redis.call('HDEL', key_of(h.id), 'worker')
  redis.call('PEXPIRE', key_of(h.id), 86400000)
  redis.call('DEL', P .. 'body:' .. h.id)
end

local function commit() redis.call('HSET', META, 'pos', whole(pos)) end
