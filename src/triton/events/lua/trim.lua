-- Lets the oldest entries leave the log. The messages that jobs still need of them are kept first.
-- ARGV[2]  the last position that may leave
-- ARGV[3]  entries at most in this call: bounds the pause
-- Answers  the last position that is gone; where it is less than asked for, there is more to do
-- Events   none
--@flags allow-oom
--@include message
local upto = math.min(tonumber(ARGV[2]), pos)
local leaving = upto > 0 and redis.call('XRANGE', LOG, '-', whole(upto) .. '-0', 'COUNT', ARGV[3]) or {}
if #leaving == 0 then return math.max(upto, 0) end
for _, entry in ipairs(leaving) do
  local fields = entry[2] -- type, its value, job, its value, ..., data, its value
  if fields[2] == 'job.submitted' then
    local id = fields[4]
    local h = redis.call('HMGET', key_of(id), 'state', 'msg')
    if h[1] and h[2] and h[2] .. '-0' == entry[1] then
      if h[1] ~= 'completed' then
        redis.call('SET', body_key(id), message_in(fields[#fields]))
        local ttl = redis.call('PTTL', key_of(id))
        if ttl >= 0 then redis.call('PEXPIRE', body_key(id), ttl_of(ttl)) end
      end
      redis.call('HDEL', key_of(id), 'msg')
    end
  end
end
local last = tonumber(string.match(leaving[#leaving][1], '^%d+'))
redis.call('XTRIM', LOG, 'MINID', whole(last + 1) .. '-0')
redis.call('HSET', META, 'trimmed', whole(last))
return last
