-- Cancels what waits at once, and asks what runs to stop.
-- ARGV[2]    failed ttl ms
-- ARGV[3..]  msgpack {job, op, by, reason, cause}; op names the request, so that a resend is known; cause is what
--            the event came of, '' for what the job came of
-- Answers  one for each: 'cancelled', 'requested', 'already', 'ended', 'missing'
-- Events   job.cancelled, job.cancel_requested
--@include heads
local failed_ttl = tonumber(ARGV[2])
local answers = {}
local before = pos
for i = 3, #ARGV do
  local c = cmsgpack.unpack(ARGV[i])
  local reason = c[4]
  local h = head_of(c[1])
  if h and c[5] ~= '' then h.causation = c[5] end -- of the event: the head keeps its own
  local answer
  if not h then
    answer = 'missing'
  elseif field(h, 'op') == c[2] then
    answer = 'already'
  elseif h.state == 'pending' or h.state == 'scheduled' then
    withdraw(h, c[3], reason, failed_ttl)
    redis.call('HSET', key_of(h.id), 'op', c[2])
    answer = 'cancelled'
  elseif h.state ~= 'processing' then
    answer = 'ended'
  elseif h.cancel then
    answer = 'already'
  else
    append(h, 'job.cancel_requested', c[3],
      reason == '' and EMPTY or cmsgpack.pack({ reason = reason }))
    redis.call('HSET', key_of(h.id), 'version', h.version, 'at', AT, 'pos', POS,
      'cancel', reason, 'cancel_by', c[3], 'reason', reason, 'op', c[2])
    answer = 'requested'
  end
  answers[#answers + 1] = answer
end
if pos > before then commit() end
return answers
