-- Whether a tenant may submit jobs now; if so, they are counted. All or none.
-- KEYS[1]  quota-rate:TENANT  microseconds since 1970 at which what was submitted is paid for
-- KEYS[2]  quota-open:TENANT  sorted set: job -> microseconds since 1970 at which it was counted
-- ARGV[1]  jobs a second; empty for no limit
-- ARGV[2]  jobs that may be open at most; empty for no limit
-- ARGV[3..] the jobs
-- Answers  {'ok', open} | {'rate', milliseconds to wait} | {'pending', open}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rate, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local count = #ARGV - 2
local paid = now
if rate then
  -- A second's jobs may come at once. Many jobs in one call are taken whole, and paid for afterwards.
  local each = 1000000 / rate
  local burst = math.max(1000000, each)
  paid = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
  if paid + each - now > burst + 1 then
    return { 'rate', math.ceil((paid + each - now - burst) / 1000) }
  end
  paid = paid + each * count
end
local open = 0
if most then
  open = redis.call('ZCARD', KEYS[2])
  for i = 3, #ARGV do
    if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then open = open + 1 end
  end
  if open > most then return { 'pending', redis.call('ZCARD', KEYS[2]) } end
end
if rate then
  redis.call('SET', KEYS[1], string.format('%.0f', paid), 'PX', math.ceil((paid - now) / 1000) + 1000)
end
if most then
  for i = 3, #ARGV do redis.call('ZADD', KEYS[2], 'NX', now, ARGV[i]) end
  redis.call('PEXPIRE', KEYS[2], 2592000000)
end
return { 'ok', open }
