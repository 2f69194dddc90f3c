-- What every script begins with: names, the clock, and the only way to append an event. Nothing that only some
-- need (see heads): a script makes its functions anew with every call, and a function costs as much as a command.
-- KEYS[1]  the partition's log; every other key begins with the prefix and shares its hash tag
-- ARGV[1]  the prefix, `{ns:p}:`
-- Nothing is written before the first XADD of a script, so a log that refuses it leaves all as it was.
local LOG, P = KEYS[1], ARGV[1]
local META, QUEUES = P .. 'meta', P .. 'queues'
local LAYOUTS = { ['1'] = true, ['2'] = true } -- the same as in triton/keys.py
local EMPTY = '\128' -- msgpack of a map without fields

-- A whole number as text, which costs as much as two more arguments: the server takes numbers as they are too.
local function whole(n) return string.format('%d', n) end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local meta = redis.call('HMGET', META, 'pos', 'at', 'layout', 'held', 'ttl')
local pos = tonumber(meta[1] or -1)
if pos < 0 then return redis.error_reply('TRITON_NO_LOG no log was created under ' .. P) end
local LAYOUT = meta[3] or '1' -- logs from before there were layouts have 1
if not LAYOUTS[LAYOUT] then
  return redis.error_reply('TRITON_LAYOUT the keys under ' .. P .. ' have layout ' .. LAYOUT
    .. ', this version of Triton knows layouts 1 and 2: use the version that wrote them')
end
-- Due times and leases go by the clock as it is. Event times never go backwards, when the clock does.
local NOW, LAST = clock(), tonumber(meta[2] or 0)
local AT_NUMBER = math.max(NOW, LAST)
local AT = whole(AT_NUMBER)
-- What nobody uses costs nothing: HELD while a queue is paused or drained, EXPIRING once a job had a ttl.
local HELD, EXPIRING = meta[4], meta[5]

-- A time to live that the server takes, whatever was asked for: a refused one would come after the event.
local function ttl_of(ms) return math.floor(math.max(1, math.min(ms, 1e14))) end

-- The time `delay` microseconds from now, as a whole number that a double holds exactly.
local function after(delay) return math.floor(math.min(NOW + delay, 2 ^ 53 - 1)) end

local function key_of(id) return P .. 'job:' .. id end
local function body_key(id) return P .. 'body:' .. id end

-- What a submission fixes, as the head's `born` holds it, one msgpack value after the other.
local function pack_born(h)
  return cmsgpack.pack(h.position, h.own_body, h.submitted, h.queue, h.tenant, h.actor, h.submitter, h.causation,
    h.correlation, h.traceparent, h.priority, h.with_terms)
end

local POS -- pos as the server wants it

-- Appends one event of head h at the next position; moves h.version. The caller writes the head.
local function append(h, kind, by, data)
  pos = pos + 1
  POS = whole(pos)
  h.version = h.version + 1
  local id = redis.pcall('XADD', LOG, POS .. '-0', 'type', kind, 'job', h.id, 'version',
    h.version, 'attempt', h.attempt, 'at', AT, 'by', by, 'causation', h.causation,
    'correlation', h.correlation, 'traceparent', h.traceparent, 'tenant', h.tenant,
    'queue', h.queue, 'schema', '1', 'data', data)
  if type(id) == 'table' then
    error({ err = 'TRITON_LOG_REFUSED position ' .. POS .. ' of ' .. LOG .. ' cannot be written ('
      .. id.err .. '): remove the entries that were not written by Triton' })
  end
end

local function commit() redis.call('HSET', META, 'pos', POS, 'at', AT) end

-- 'paused' or 'draining', where somebody said so.
local function hold_of(queue)
  local hold = HELD and redis.call('HGET', P .. 'held', queue)
  return hold and cmsgpack.unpack(hold)[1]
end

-- Wakes one idle worker of the queue; a bell that rings already is enough. Answers whether it rang already:
-- then somebody knows the queue.
local function ring(queue)
  if hold_of(queue) == 'paused' then return false end
  local bell = P .. 'bell:' .. queue
  if redis.call('EXISTS', bell) == 1 then return true end
  redis.call('LPUSH', bell, 1)
  return false
end

-- A step of priority (0 is the default, smaller is sooner) weighs as much as a million positions:
-- strict order in a short queue, and no starvation in a long one.
local function order_at(h, position) return h.priority * 1000000 + position end
local function order_of(h) return order_at(h, pos) end

local function to_ready(h)
  redis.call('ZADD', P .. 'ready:' .. h.queue, h.order, h.id)
  return ring(h.queue)
end

-- An idle worker sleeps up to a second, so it must hear of a due time that comes before all others.
local function to_due(h, due)
  local due_key = P .. 'due:' .. h.queue
  redis.call('ZADD', due_key, due, h.id)
  return redis.call('ZRANGE', due_key, 0, 0)[1] ~= h.id or ring(h.queue)
end

-- Adds a field to data that is a msgpack map of less than 15 fields and does not have it.
local function with(data, name, value)
  return string.char(string.byte(data) + 1) .. string.sub(data, 2) .. cmsgpack.pack(name)
    .. cmsgpack.pack(value)
end

-- The terms of a submission that a head keeps: {expires, unique, keep ms, payload}, see submit_job.
local function unique_key(digest) return P .. 'unique:' .. digest end
