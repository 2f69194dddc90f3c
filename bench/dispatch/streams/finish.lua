-- Ends attempts as completed.
-- ARGV[2] queue, [3] worker, then for each: id, attempt, data
-- Answers  'ok' or 'stale' for each
local queue, worker = ARGV[2], ARGV[3]
local answers, places, before = {}, {}, pos
for i = 4, #ARGV, 3 do
  local h = head_of(ARGV[i])
  if h and h.state == 'processing' and h.attempt == tonumber(ARGV[i + 1]) then
    complete(h, worker, ARGV[i + 2])
    places[#places + 1] = h.place
    answers[#answers + 1] = 'ok'
  else
    answers[#answers + 1] = 'stale'
  end
end
if pos > before then
  redis.call('XACK', P .. 'ready:' .. queue, 'w', unpack(places))
  redis.call('XDEL', P .. 'ready:' .. queue, unpack(places))
  commit()
end
return answers
