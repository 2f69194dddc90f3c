-- Reading heads, and ending jobs.

-- What a submission fixes, of a head of layout 1: it has a field for each, where later ones have `born`.
local function born_before(id)
  local b = redis.call('HMGET', key_of(id), 'queue', 'tenant', 'causation', 'correlation', 'traceparent',
    'priority', 'terms')
  return 0, 1, 0, b[1], b[2], '', '', b[3] or '', b[4] or '', b[5] or '', tonumber(b[6] or 0), b[7] and 1 or 0
end

-- The head of what was read, and of its `born`: the position of its job.submitted, 1 where the message is in
-- body:ID and not in that event any more, the time, and so on; 1 where it has terms.
local function made_of(id, read, position, own_body, submitted, queue, tenant, actor, submitter, causation,
    correlation, traceparent, priority, with_terms)
  local terms = with_terms == 1 and cmsgpack.unpack(redis.call('HGET', key_of(id), 'terms'))
  return { id = id, state = read[1] or 'pending', version = tonumber(read[2] or 1), attempt = tonumber(read[3] or 0),
    cancel = read[4], seq = tonumber(read[5] or 0), position = position, own_body = own_body,
    submitted = submitted, queue = queue, tenant = tenant, actor = actor, submitter = submitter,
    causation = causation, correlation = correlation, traceparent = traceparent, priority = priority,
    with_terms = with_terms, terms = terms, expires = terms and terms[1] or 0 }
end

-- What every transition needs of a head, read at once: each further name costs a scan of the hash.
local function head_of(id)
  local h = redis.call('HMGET', key_of(id), 'state', 'version', 'attempt', 'cancel', 'seq', 'born')
  if h[6] then return made_of(id, h, cmsgpack.unpack(h[6])) end
  if h[1] then return made_of(id, h, born_before(id)) end
  return nil
end

-- What only some need.
local function field(h, name) return redis.call('HGET', key_of(h.id), name) end
local function number(h, name) return tonumber(field(h, name) or 0) end

-- Whether an attempt ended before, by a call like this one.
local function is_closed(h, attempt) return tonumber(field(h, 'closed') or -1) == attempt end

-- The one that it had.
local function order_before(h) return field(h, 'order') or order_at(h, h.position) end

-- The job ended: its head stays for ttl ms (or what its idempotency key asks for), a body of its own too unless
-- it completed (then the caller deletes it). Its unique key is free, unless it completed within the key's window.
local function retire(h, ttl, keep_body)
  if h.terms then
    ttl = math.max(ttl, h.terms[3])
    local key = h.terms[2] ~= '' and unique_key(h.terms[2])
    if key and redis.call('GET', key) == h.id and (keep_body or redis.call('PTTL', key) == -1) then
      redis.call('DEL', key)
    end
  end
  redis.call('PEXPIRE', key_of(h.id), ttl_of(ttl))
  if h.attempt > 1 or h.seq > 0 then redis.call('DEL', P .. 'steps:' .. h.id) end
  if keep_body and h.own_body == 1 then redis.call('PEXPIRE', body_key(h.id), ttl_of(ttl)) end
end

-- Gives the job a message that is not the one in its job.submitted entry.
local function set_body(h, body)
  redis.call('SET', body_key(h.id), body)
  if h.own_body == 0 then
    h.own_body = 1
    redis.call('HSET', key_of(h.id), 'born', pack_born(h))
  end
end

-- The job will not expire any more.
local function unexpire(h)
  if h.expires > 0 then redis.call('ZREM', P .. 'expires', h.id) end
end

-- Ends a job that somebody asked to cancel, from any state.
local function end_cancelled(h, by, reason, ttl)
  append(h, 'job.cancelled', by, reason == '' and EMPTY or cmsgpack.pack({ reason = reason }))
  redis.call('HSET', key_of(h.id), 'state', 'cancelled', 'version', h.version, 'at', AT,
    'finished', AT, 'pos', POS, 'reason', reason)
  redis.call('HDEL', key_of(h.id), 'worker', 'due')
  retire(h, ttl, true)
end

-- The same for one that waits.
local function withdraw(h, by, reason, ttl)
  local state = h.state == 'pending' and 'ready:' or 'due:'
  end_cancelled(h, by, reason, ttl)
  redis.call('ZREM', P .. state .. h.queue, h.id)
  unexpire(h)
end

-- The same for one that ran when somebody asked for its end: it is by who asked.
local function end_as_asked(h, by, ttl)
  end_cancelled(h, redis.call('HGET', key_of(h.id), 'cancel_by') or by, h.cancel, ttl)
end
