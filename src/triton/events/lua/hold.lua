-- Pauses, drains or opens a queue: what claim hands out, and what submit takes.
-- ARGV[2]  msgpack {queue, 'paused' | 'draining' | 'open', by, reason, correlation}
-- ARGV[3]  data of the event
-- Answers  'ok', or 'already': it is so, and who made it so stays
-- Events   queue.paused, queue.drained, queue.resumed; of no job
--@include administrative
local a = cmsgpack.unpack(ARGV[2])
local queue, wanted, held = a[1], a[2], P .. 'held'
if (hold_of(queue) or 'open') == wanted then return 'already' end
local kinds = { paused = 'queue.paused', draining = 'queue.drained', open = 'queue.resumed' }
append_administrative(kinds[wanted], a[3], '', ARGV[3], a[5])
if wanted == 'open' then
  redis.call('HDEL', held, queue)
  if redis.call('EXISTS', held) == 0 then redis.call('HDEL', META, 'held') end
else
  redis.call('HSET', held, queue, cmsgpack.pack({ wanted, a[3], a[4], NOW }))
  redis.call('HSET', META, 'held', 1)
end
commit()
HELD = wanted ~= 'open' and '1' or HELD
if redis.call('EXISTS', P .. 'ready:' .. queue) == 1 then ring(queue) end
return 'ok'
