-- Ends a restore: the partition may be used. Runs without the prelude.
-- KEYS[1]  the partition's meta
-- ARGV     epoch, layout of the keys; then the fields of meta that a restored log has: name, value, ...
-- Answers  'ok', 'already' (it ended before), 'other' (another restore was begun)
-- Events   none
local m = redis.call('HMGET', KEYS[1], 'restoring', 'epoch')
if not m[1] then return m[2] == ARGV[1] and 'already' or 'other' end
if m[1] ~= ARGV[1] then return 'other' end
redis.call('HSET', KEYS[1], 'layout', ARGV[2], unpack(ARGV, 3))
redis.call('HDEL', KEYS[1], 'restoring')
return 'ok'
