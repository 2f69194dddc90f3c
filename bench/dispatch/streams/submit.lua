-- Accepts jobs: a ready stream whose entries hold only the id; scheduled ones in a sorted set.
-- ARGV[2] queue, [3] tenant, then for each job: id, data, body, due in microseconds or 0
-- Answers  how many were new
local queue, tenant = ARGV[2], ARGV[3]
local new = 0
for i = 4, #ARGV, 4 do
  local id, due = ARGV[i], tonumber(ARGV[i + 3])
  if redis.call('EXISTS', key_of(id)) == 0 then
    local h = born(id, queue, tenant, ARGV[i + 1], ARGV[i + 2])
    if due > 0 then
      redis.call('ZADD', P .. 'due:' .. queue, whole(due), id)
      write_born(h, due, '')
    else
      write_born(h, due, redis.call('XADD', P .. 'ready:' .. queue, '*', 'j', id))
    end
    new = new + 1
  end
end
if new > 0 then commit() end
return new
