-- Ends jobs that did not start within their time to live, of whatever queue.
local MOST_EXPIRED = 100 -- in one call: bounds the pause

local function is_expired(h) return h.attempt == 0 and h.expires > 0 and h.expires <= NOW end

local function expire(h, ttl)
  local failed = cmsgpack.pack({ reason = 'expired', error = { type = 'Expired',
    message = 'not started within its time to live' } })
  local place = h.state == 'pending' and 'ready:' or 'due:'
  append(h, 'job.failed', 'system', failed)
  redis.call('HSET', key_of(h.id), 'state', 'failed', 'version', h.version, 'at', AT,
    'finished', AT, 'pos', POS, 'outcome', failed)
  redis.call('HDEL', key_of(h.id), 'due')
  redis.call('ZREM', P .. place .. h.queue, h.id)
  unexpire(h)
  retire(h, ttl, true)
end

local function expire_all(ttl)
  if not EXPIRING then return end
  local ids = redis.call('ZRANGEBYSCORE', P .. 'expires', '-inf', whole(NOW), 'LIMIT', 0, MOST_EXPIRED)
  for _, id in ipairs(ids) do
    local h = head_of(id)
    if h and is_expired(h) and (h.state == 'pending' or h.state == 'scheduled') then
      expire(h, ttl)
    else
      redis.call('ZREM', P .. 'expires', id)
    end
  end
end
