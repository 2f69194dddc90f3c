-- Appends one administrative event: one that belongs to no job.
-- ARGV[2]  msgpack {op, type, by, tenant, ms for which op is known, correlation}; op names the note, so that a
--          resend is known
-- ARGV[3]  data of the event
-- Answers  its position, also of one that was appended before
-- Events   the one it is given
--@include administrative
local n = cmsgpack.unpack(ARGV[2])
local known = P .. 'note:' .. n[1]
local noted = redis.call('GET', known)
if noted then return tonumber(noted) end
append_administrative(n[2], n[3], n[4], ARGV[3], n[6])
commit()
redis.call('SET', known, POS, 'PX', ttl_of(n[5]))
return pos
