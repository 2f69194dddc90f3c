-- Sends failed and cancelled jobs round again.
-- ARGV[2]    data of job.requeued
-- ARGV[3]    '', or msgpack {epoch, position}: heads are brought along, made of all that happened up to there
-- ARGV[4..]  for each: msgpack {job, op, by, n, cause}; the new body, or '' to keep the message; n arguments: the
--            names and values of the head's fields, for a job whose head has left. cause is what the event came
--            of, '' for what the job came of
-- Answers  one for each: 'ok', 'already' (this request was done, or it is not ended), 'ended'
--          (completed), 'held' (another job has its unique key), 'missing' (no head or message any more),
--          'changed' (what was brought along may be old: read the history again)
-- Events   job.requeued
--@include heads
--@include message
local answers = {}
local before = pos

local function is_held(h)
  local digest = h.terms and h.terms[2] or ''
  local holder = digest ~= '' and redis.call('GET', unique_key(digest))
  return holder and holder ~= h.id
end

-- What happened since the heads were read: the jobs that it happened to; false where that is too much to look
-- through, or has left the log, or this is another log.
local SINCE = 2000
local function jobs_since(epoch, read)
  local now = redis.call('HMGET', META, 'epoch', 'trimmed')
  if now[1] ~= epoch or read > pos or read < tonumber(now[2] or 0) or pos - read > SINCE then return false end
  local found = {}
  for _, entry in ipairs(redis.call('XRANGE', LOG, '(' .. whole(read) .. '-0', '+')) do
    found[entry[2][4] or ''] = true
  end
  return found
end
local since = ARGV[3] ~= '' and jobs_since(unpack(cmsgpack.unpack(ARGV[3])))

local i = 4
while i <= #ARGV do
  local r, body = cmsgpack.unpack(ARGV[i]), ARGV[i + 1]
  local h, back = head_of(r[1]), false
  if not h and r[4] > 0 and since and not since[r[1]] then
    -- It is there again for a minute: a log that refuses the event leaves it so.
    redis.call('HSET', key_of(r[1]), unpack(ARGV, i + 2, i + 1 + r[4]))
    redis.call('PEXPIRE', key_of(r[1]), 60000)
    h, back = head_of(r[1]), true
  end
  local answer
  if not h then
    answer = r[4] > 0 and 'changed' or 'missing'
  elseif field(h, 'op') == r[2] then
    answer = 'already'
  elseif h.state == 'completed' then
    answer = 'ended'
  elseif h.state ~= 'failed' and h.state ~= 'cancelled' then
    answer = 'already'
  elseif body == '' and not message_of(h) then
    answer = 'missing'
  elseif is_held(h) then
    answer = 'held'
  else
    local key = key_of(h.id)
    local own = h.causation
    if r[5] ~= '' then h.causation = r[5] end
    append(h, 'job.requeued', r[3], ARGV[2])
    h.causation = own
    h.order = order_of(h)
    redis.call('HSET', key, 'state', 'pending', 'version', h.version, 'at', AT, 'pos', POS,
      'order', h.order, 'op', r[2])
    redis.call('HDEL', key, 'finished', 'outcome', 'deaths', 'cancel', 'cancel_by', 'reason')
    if h.terms then
      h.terms[1] = 0
      redis.call('HSET', key, 'terms', cmsgpack.pack(h.terms))
      if h.terms[2] ~= '' then redis.call('SET', unique_key(h.terms[2]), h.id) end
    end
    redis.call('PERSIST', key)
    if body ~= '' then
      set_body(h, body)
    elseif h.own_body == 1 then
      redis.call('PERSIST', body_key(h.id))
    end
    to_ready(h)
    answer = 'ok'
  end
  if back and answer ~= 'ok' then redis.call('DEL', key_of(r[1])) end
  answers[#answers + 1] = answer
  i = i + 2 + r[4]
end
if pos > before then commit() end
return answers
