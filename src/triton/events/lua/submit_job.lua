-- One submission, three arguments from ARGV[i]: msgpack {id, queue, actor, tenant, by, causation,
-- correlation, traceparent, priority, due, delay} with due in microseconds since 1970 or 0, or a delay
-- in microseconds that the server counts from its own clock; the event's data; the body.
-- (Binary values stand alone because the server's msgpack knows no binary type.)
-- Answers 'ok' or 'exists'.
local known_queues = {}
local function submit_job(i)
  local s, data, body = cmsgpack.unpack(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  local id, queue, due = s[1], s[2], s[10]
  if s[11] > 0 then
    due = after(s[11])
    data = with_due(data, due)
  end
  if redis.call('EXISTS', key_of(id)) == 1 then return 'exists' end
  local h = { id = id, version = 0, attempt = 0, queue = queue, tenant = s[4], causation = s[6],
    correlation = s[7], traceparent = s[8], priority = s[9] }
  append(h, 'job.submitted', s[5], data)
  h.order = order_of(h)
  local fields = { 'state', due > 0 and 'scheduled' or 'pending', 'version', 1, 'attempt', 0,
    'queue', queue, 'actor', s[3], 'tenant', s[4], 'by', s[5], 'order', whole(h.order),
    'submitted', AT, 'at', AT, 'pos', whole(pos) }
  local function also(name, value) fields[#fields + 1] = name; fields[#fields + 1] = value end
  if s[6] ~= '' then also('causation', s[6]) end
  if s[7] ~= '' then also('correlation', s[7]) end
  if s[8] ~= '' then also('traceparent', s[8]) end
  if s[9] ~= 0 then also('priority', s[9]) end
  if due > 0 then also('due', whole(due)) end
  redis.call('HSET', key_of(id), unpack(fields))
  redis.call('SET', P .. 'body:' .. id, body)
  if not known_queues[queue] then
    redis.call('SADD', QUEUES, queue)
    known_queues[queue] = true
  end
  if due > 0 then to_due(h, due) else to_ready(h) end
  return 'ok'
end
