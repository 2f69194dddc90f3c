-- One submission, three arguments from ARGV[i]: msgpack {id, queue, actor, tenant, by, causation,
-- correlation, traceparent, priority, due, delay, terms} with due in microseconds since 1970 or 0, or a
-- delay in microseconds that the server counts from its own clock; the event's data; the body.
-- (Binary values stand alone because the server's msgpack knows no binary type.)
-- terms, where it has any: {ttl in microseconds, unique digest, window ms, conflict, payload digest, keep ms}.
-- Answers 'ok'; 'exists'; 'differs' (exists, and was asked for with another payload); 'past' (new under its
-- key, and due before now); 'closed' (the queue drains, and no job sent this one); 'held ID' or 'taken ID':
-- the job that has the unique key, to be answered with or to be refused for.

-- What the terms say against the submission, or nil. A job that is replaced ends here.
local function refusal(s, terms, ttl)
  local unique, conflict = terms[2], terms[4]
  local holder = unique ~= '' and redis.call('GET', unique_key(unique))
  if not holder then return nil end
  if conflict == 'return' then return 'held ' .. holder end
  if conflict == 'reject' then return 'taken ' .. holder end
  -- Here, and not above: a submission that replaces nothing need not make these functions.
  --@include heads
  local h = head_of(holder)
  if h and (h.state == 'pending' or h.state == 'scheduled') then
    withdraw(h, s[5], 'replaced by ' .. s[1], ttl)
  end
  return nil
end

-- Keeps the terms beside the head, and answers what the head holds of them.
local function keep(id, terms, expires)
  if expires > 0 then
    redis.call('ZADD', P .. 'expires', expires, id)
    if not EXPIRING then redis.call('HSET', META, 'ttl', 1) end
    EXPIRING = '1'
  end
  if terms[2] ~= '' then
    redis.call('SET', unique_key(terms[2]), id)
    if terms[3] > 0 then redis.call('PEXPIRE', unique_key(terms[2]), ttl_of(terms[3])) end
  end
  return cmsgpack.pack({ expires, terms[2], terms[6], terms[5] })
end

local function also(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

-- A head as workers of layout 1 know it, and the message where they look for it.
local function write_before(h, due, body)
  local fields = { 'state', due > 0 and 'scheduled' or 'pending', 'version', '1', 'attempt', '0',
    'at', AT, 'pos', POS, 'queue', h.queue, 'tenant', h.tenant, 'actor', h.actor, 'by', h.submitter,
    'order', h.order, 'submitted', AT }
  if h.causation ~= '' then also(fields, 'causation', h.causation) end
  if h.correlation ~= '' then also(fields, 'correlation', h.correlation) end
  if h.traceparent ~= '' then also(fields, 'traceparent', h.traceparent) end
  if h.priority ~= 0 then also(fields, 'priority', h.priority) end
  redis.call('SET', body_key(h.id), body)
  return fields
end

local function submit_job(i, failed_ttl)
  local s, data, body = cmsgpack.unpack(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  local id, queue, due, terms = s[1], s[2], s[10], s[12]
  if redis.call('EXISTS', key_of(id)) == 1 then
    local kept = terms and terms[5] ~= '' and redis.call('HGET', key_of(id), 'terms')
    local payload = kept and cmsgpack.unpack(kept)[4] or ''
    return payload ~= '' and payload ~= terms[5] and 'differs' or 'exists'
  end
  if terms and terms[5] ~= '' and due > 0 and due <= NOW then return 'past' end
  if s[6] == '' and hold_of(queue) == 'draining' then return 'closed' end
  local refused = terms and refusal(s, terms, failed_ttl)
  if refused then return refused end
  if s[11] > 0 then
    due = after(s[11])
    data = with(data, 'due', due)
  end
  local h = { id = id, version = 0, attempt = 0, own_body = 0, submitted = AT_NUMBER, queue = queue,
    tenant = s[4], actor = s[3], submitter = s[5], causation = s[6], correlation = s[7], traceparent = s[8],
    priority = s[9], with_terms = terms and 1 or 0 }
  local expires = terms and terms[1] > 0 and after(terms[1]) or 0
  if expires > 0 then data = with(data, 'expires', expires) end
  append(h, 'job.submitted', s[5], data)
  h.position = pos
  h.order = order_of(h)
  -- Pending, version 1, attempt 0, and the time, the position and the order of the submission go without saying.
  local fields = LAYOUT == '1' and write_before(h, due, body) or { 'born', pack_born(h) }
  if due > 0 then
    also(fields, 'state', 'scheduled')
    also(fields, 'due', due)
  end
  if terms then also(fields, 'terms', keep(id, terms, expires)) end
  redis.call('HSET', key_of(id), unpack(fields))
  local known
  if due > 0 then known = to_due(h, due) else known = to_ready(h) end
  if not known then redis.call('SADD', QUEUES, queue) end
  return 'ok'
end
