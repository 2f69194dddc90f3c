-- Lets the oldest entries leave the log. The messages that jobs still need of them are kept first; the head of
-- an ended job whose last event leaves goes once its result was there for long enough.
-- ARGV[2]  the last position that may leave
-- ARGV[3]  entries at most in this call: bounds the pause
-- ARGV[4]  the epoch in which that may be, and ARGV[5] the SHA-1 of the values of the entry at ARGV[2], each
--          behind its length and a colon; or both empty
-- ARGV[6]  milliseconds after its end for which an ended job's head stays, or -1: as long as it would anyway
-- Answers  the last position that is gone; where it is less than asked for, there is more to do; -1: this is
--          another epoch, or another entry is there, and nothing left
-- Events   none
--@flags allow-oom
--@include heads
--@include message
local upto = math.min(tonumber(ARGV[2]), pos)
if ARGV[4] ~= '' then
  if redis.call('HGET', META, 'epoch') ~= ARGV[4] then return -1 end
  local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
  if first and tonumber(string.match(first[1], '^%d+')) <= tonumber(ARGV[2]) then
    local entry = redis.call('XRANGE', LOG, ARGV[2] .. '-0', ARGV[2] .. '-0')[1]
    local values = {}
    for i = 2, entry and #entry[2] or 0, 2 do
      values[#values + 1] = #entry[2][i] .. ':' .. entry[2][i]
    end
    if redis.sha1hex(table.concat(values)) ~= ARGV[5] then return -1 end
  end
end
local grace = tonumber(ARGV[6])
local ENDS = { ['job.completed'] = 'completed', ['job.failed'] = 'failed', ['job.cancelled'] = 'cancelled' }
local leaving = upto > 0 and redis.call('XRANGE', LOG, '-', whole(upto) .. '-0', 'COUNT', ARGV[3]) or {}
if #leaving == 0 then return math.max(upto, 0) end
for _, entry in ipairs(leaving) do
  local fields = entry[2] -- type, its value, job, its value, ..., data, its value
  local h = fields[2] == 'job.submitted' and head_of(fields[4])
  if h and h.state ~= 'completed' and h.own_body == 0 and whole(h.position) .. '-0' == entry[1] then
    set_body(h, message_in(fields[26]))
    local ttl = redis.call('PTTL', key_of(h.id))
    if ttl >= 0 then redis.call('PEXPIRE', body_key(h.id), ttl_of(ttl)) end
  elseif grace >= 0 and ENDS[fields[2]] then
    local key = key_of(fields[4])
    local h = redis.call('HMGET', key, 'state', 'pos', 'finished', 'terms')
    if h[1] == ENDS[fields[2]] and h[3] and (h[2] or '') .. '-0' == entry[1] then
      -- Under an idempotency key a job is known by its head, for as long as the key says.
      local keep = math.max(grace, h[4] and cmsgpack.unpack(h[4])[3] or 0)
      local ttl = ttl_of((h[3] - NOW) / 1000 + keep)
      redis.call('PEXPIRE', key, ttl, 'LT')
      redis.call('PEXPIRE', body_key(fields[4]), ttl, 'LT')
    end
  end
end
local last = tonumber(string.match(leaving[#leaving][1], '^%d+'))
redis.call('XTRIM', LOG, 'MINID', whole(last + 1) .. '-0')
redis.call('HSET', META, 'trimmed', whole(last))
return last
