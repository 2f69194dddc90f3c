-- Reserves an empty partition for a restore: until it ends, the layout of its keys is one that nobody knows. Runs
-- without the prelude.
-- KEYS[1]  the partition's meta
-- ARGV     the epoch that it shall have, number of partitions, the log's key
-- Answers  {'ok', epoch}; {'again', epoch} where a restore was begun before; {'taken', pos} for a log that is used
-- Events   none
local m = redis.call('HMGET', KEYS[1], 'pos', 'restoring')
if m[2] then return { 'again', m[2] } end
if tonumber(m[1] or 0) > 0 or redis.call('EXISTS', ARGV[3]) == 1 then return { 'taken', m[1] or '' } end
local t = redis.call('TIME')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'partitions', ARGV[2], 'pos', 0, 'layout', 0,
  'restoring', ARGV[1], 'created', string.format('%.0f', t[1] * 1000000 + t[2]))
return { 'ok', ARGV[1] }
