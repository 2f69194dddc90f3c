-- Gives running jobs back to their queues, at the place they had.
-- ARGV[2]    failed ttl ms
-- ARGV[3]    data of job.released
-- ARGV[4..]  msgpack {job, attempt, by}
-- Answers  one for each: 'ok', 'already', 'stale', 'missing'
-- Events   job.released, or job.cancelled where that was asked for
--@include heads
local failed_ttl = tonumber(ARGV[2])
local answers = {}
local before = pos
for i = 4, #ARGV do
  local r = cmsgpack.unpack(ARGV[i])
  local h = head_of(r[1])
  local answer = 'ok'
  if not h then
    answer = 'missing'
  elseif h.state == 'processing' and h.attempt == r[2] then
    if h.cancel then
      end_as_asked(h, r[3], failed_ttl)
      redis.call('HSET', key_of(h.id), 'closed', h.attempt)
    else
      append(h, 'job.released', r[3], ARGV[3])
      redis.call('HSET', key_of(h.id), 'state', 'pending', 'version', h.version, 'at', AT,
        'pos', POS, 'closed', h.attempt,
        'worker', '')
      h.order = order_before(h)
      to_ready(h)
    end
    redis.call('ZREM', P .. 'leases:' .. h.queue, h.id)
  elseif is_closed(h, r[2]) then
    answer = 'already'
  else
    answer = 'stale'
  end
  answers[#answers + 1] = answer
end
if pos > before then commit() end
return answers
