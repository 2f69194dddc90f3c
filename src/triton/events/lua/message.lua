-- A job's message is kept once: in its job.submitted entry, at the position that the head calls `msg`. A head
-- without `msg` has it in `body:ID`: after a retry that changed it, and after its entry left the log.

local function body_key(id) return P .. 'body:' .. id end

-- The message in the data of a job.submitted: msgpack of {actor, body, ...}, in this order. (The server's own
-- msgpack knows no binary type.)
local function message_in(data)
  local function number(from, bytes)
    local n = 0
    for i = from, from + bytes - 1 do n = n * 256 + string.byte(data, i) end
    return n
  end
  local at = 8 -- behind the map's header and the name `actor`
  local kind = string.byte(data, at)
  if kind < 0xc0 then
    at = at + 1 + kind - 0xa0
  else -- text with a length of 1, 2 or 4 bytes
    local bytes = 2 ^ (kind - 0xd9)
    at = at + 1 + bytes + number(at + 1, bytes)
  end
  at = at + 5 -- behind the name `body`
  local bytes = 2 ^ (string.byte(data, at) - 0xc4)
  local from = at + 1 + bytes
  return string.sub(data, from, from + number(at + 1, bytes) - 1)
end
