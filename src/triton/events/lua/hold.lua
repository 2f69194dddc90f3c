-- Pauses, drains or opens a queue: what claim hands out, and what submit takes.
-- ARGV[2]  msgpack {queue, 'paused' | 'draining' | 'open', by, reason}
-- Answers  'ok', or 'already': it is so, and who made it so stays
-- Events   none: it is no transition of a job
local a = cmsgpack.unpack(ARGV[2])
local queue, wanted, held = a[1], a[2], P .. 'held'
if (hold_of(queue) or 'open') == wanted then return 'already' end
if wanted == 'open' then
  redis.call('HDEL', held, queue)
  if redis.call('EXISTS', held) == 0 then redis.call('HDEL', META, 'held') end
else
  redis.call('HSET', held, queue, cmsgpack.pack({ wanted, a[3], a[4], NOW }))
  redis.call('HSET', META, 'held', 1)
end
HELD = wanted ~= 'open' and '1' or HELD
if redis.call('EXISTS', P .. 'ready:' .. queue) == 1 then ring(queue) end
return 'ok'
