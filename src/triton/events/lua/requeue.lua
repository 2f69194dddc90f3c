-- Sends failed and cancelled jobs round again.
-- ARGV[2]    data of job.requeued
-- ARGV[3..]  two arguments each: msgpack {job, op, by}; the new body, or '' to keep the message
-- Answers  one for each: 'ok', 'already' (this request was done, or it is not ended), 'ended'
--          (completed), 'held' (another job has its unique key), 'missing' (no head or message any more)
-- Events   job.requeued
--@include message
local answers = {}
local before = pos

local function is_held(h)
  local digest = h.terms and h.terms[2] or ''
  local holder = digest ~= '' and redis.call('GET', unique_key(digest))
  return holder and holder ~= h.id
end

for i = 3, #ARGV, 2 do
  local r, body = cmsgpack.unpack(ARGV[i]), ARGV[i + 1]
  local h = head_of(r[1])
  local answer
  if not h then
    answer = 'missing'
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
    append(h, 'job.requeued', r[3], ARGV[2])
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
  answers[#answers + 1] = answer
end
if pos > before then commit() end
return answers
