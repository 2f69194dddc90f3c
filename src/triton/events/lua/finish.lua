-- Ends attempts: the outcome, the queue entry and the messages that follow from it, in one step.
-- ARGV[2]    completed ttl ms
-- ARGV[3]    failed ttl ms
-- ARGV[4..]  for each: msgpack {job, attempt, by, type, delay, number of submissions}; the event's data;
--            the next attempt's body or ''; then the submissions, three arguments each (see submit_job).
--            delay in microseconds, for retry_scheduled and snoozed: the event's due is server time + delay
-- Answers  one for each: 'ok', 'already' (this attempt ended so before), 'stale', 'missing'
-- Events   job.completed, job.failed, job.cancelled, job.retry_scheduled, job.snoozed; job.submitted
--@include heads
--@include submit_job
local completed_ttl, failed_ttl = tonumber(ARGV[2]), tonumber(ARGV[3])
local answers = {}
local before = pos
local left, spent = {}, {} -- queue -> jobs whose lease is over; bodies of completed jobs
local AGAIN = { ['job.retry_scheduled'] = true, ['job.snoozed'] = true }

local function close(h, by, kind, data, delay, body)
  local key = key_of(h.id)
  if h.cancel and (kind == 'job.cancelled' or AGAIN[kind]) then
    end_as_asked(h, by, failed_ttl)
    redis.call('HSET', key, 'closed', h.attempt)
  elseif kind == 'job.cancelled' then
    end_cancelled(h, by, cmsgpack.unpack(data).reason or '', failed_ttl)
    redis.call('HSET', key, 'closed', h.attempt)
  elseif AGAIN[kind] then
    local due = after(delay)
    data = with(data, 'due', due)
    append(h, kind, by, data)
    redis.call('HSET', key, 'state', 'scheduled', 'version', h.version, 'at', AT,
      'pos', POS, 'due', due, 'closed', h.attempt, 'worker', '')
    if kind == 'job.retry_scheduled' then redis.call('HSET', key, 'outcome', data) end
    if body ~= '' then set_body(h, body) end
    to_due(h, due)
  else
    append(h, kind, by, data)
    redis.call('HSET', key, 'state', string.sub(kind, 5), 'version', h.version, 'at', AT,
      'finished', AT, 'pos', POS, 'worker', '', 'closed', h.attempt,
      'outcome', data)
    if kind == 'job.completed' then
      retire(h, completed_ttl, false)
      if h.own_body == 1 then spent[#spent + 1] = body_key(h.id) end
    else
      retire(h, failed_ttl, true)
    end
  end
  local ended = left[h.queue]
  if ended then ended[#ended + 1] = h.id else left[h.queue] = { h.id } end
end

local i = 4
while i <= #ARGV do
  local o = cmsgpack.unpack(ARGV[i])
  local h = head_of(o[1])
  local answer = 'ok'
  if not h then
    answer = 'missing'
  elseif h.state == 'processing' and h.attempt == o[2] then
    close(h, o[3], o[4], ARGV[i + 1], o[5], ARGV[i + 2])
    for n = 0, o[6] - 1 do submit_job(i + 3 + 3 * n, failed_ttl) end
  elseif is_closed(h, o[2]) then
    answer = 'already'
  else
    answer = 'stale'
  end
  answers[#answers + 1] = answer
  i = i + 3 + 3 * o[6]
end
for queue, ids in pairs(left) do redis.call('ZREM', P .. 'leases:' .. queue, unpack(ids)) end
if #spent > 0 then redis.call('DEL', unpack(spent)) end
if pos > before then commit() end
return answers
