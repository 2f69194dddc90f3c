-- Whether a request may be answered now; if so, every bucket pays for it, else none.
-- KEYS[i]             rate:...  microseconds since 1970 at which what was asked for is paid for
-- ARGV[2i-1], ARGV[2i] requests a second, and how many may come at once
-- Answers  {1, what is left in the emptiest, 0} | {0, 0, milliseconds to wait}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local left, wait = math.huge, 0
local paid = {}
for i, key in ipairs(KEYS) do
  local each = 1000000 / tonumber(ARGV[2 * i - 1])
  local room = each * tonumber(ARGV[2 * i])
  paid[i] = math.max(now, tonumber(redis.call('GET', key) or 0)) + each
  wait = math.max(wait, paid[i] - now - room)
  left = math.min(left, math.floor((room - (paid[i] - now)) / each + 0.000001))
end
if wait > 0.5 then return { 0, 0, math.ceil(wait / 1000) } end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', paid[i]), 'PX', math.ceil((paid[i] - now) / 1000) + 1000)
end
return { 1, left, 0 }
