-- Where a job's message is: in its job.submitted event; or in `body:ID`, after a retry that changed it and after
-- that event left the log.

-- The number that data holds in some bytes from a place on.
local function number_in(data, from, bytes)
  local n = 0
  for i = from, from + bytes - 1 do n = n * 256 + string.byte(data, i) end
  return n
end

-- The message in the data of a job.submitted: msgpack of {actor, body, ...}, in this order. (The server's own
-- msgpack knows no binary type.)
local function message_in(data)
  local at = 8 -- behind the map's header and the name `actor`
  local kind = string.byte(data, at)
  if kind < 0xc0 then
    at = at + 1 + kind - 0xa0
  else -- text behind a length of 1, 2 or 4 bytes
    local bytes = 2 ^ (kind - 0xd9)
    at = at + 1 + bytes + number_in(data, at + 1, bytes)
  end
  at = at + 5 -- behind the name `body`
  local bytes = 2 ^ (string.byte(data, at) - 0xc4)
  local from = at + 1 + bytes
  return string.sub(data, from, from + number_in(data, at + 1, bytes) - 1)
end

-- The message of head h, or nil where it is gone.
local function message_of(h)
  if h.own_body == 1 then return redis.call('GET', body_key(h.id)) or nil end
  local at = whole(h.position) .. '-0'
  local entry = redis.call('XRANGE', LOG, at, at)[1]
  return entry and message_in(entry[2][26])
end
