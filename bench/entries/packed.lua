-- Appends the same events as one field each: its thirteen values as msgpack's binary values, one after the other.
-- KEYS[1]  the log
-- ARGV[1]  the position before
-- ARGV[2..]  thirteen values for each event
local BEFORE = setmetatable({}, { __index = function(known, length)
  local before
  if length < 256 then before = struct.pack('>BB', 0xc4, length)
  elseif length < 65536 then before = struct.pack('>BI2', 0xc5, length)
  else before = struct.pack('>BI4', 0xc6, length) end
  known[length] = before
  return before
end })
local pos, i = tonumber(ARGV[1]), 2
while i <= #ARGV do
  pos = pos + 1
  local a, b, c, d, e, f, g, h, j, k, l, m, n = unpack(ARGV, i, i + 12)
  redis.call('XADD', KEYS[1], string.format('%d', pos) .. '-0', 'event', BEFORE[#a] .. a .. BEFORE[#b] .. b
    .. BEFORE[#c] .. c .. BEFORE[#d] .. d .. BEFORE[#e] .. e .. BEFORE[#f] .. f .. BEFORE[#g] .. g .. BEFORE[#h] .. h
    .. BEFORE[#j] .. j .. BEFORE[#k] .. k .. BEFORE[#l] .. l .. BEFORE[#m] .. m .. BEFORE[#n] .. n)
  i = i + 13
end
