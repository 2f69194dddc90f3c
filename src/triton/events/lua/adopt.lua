-- Begins a new epoch of a partition's log: it is taken as it is. Runs without the prelude.
-- KEYS[1]  the partition's meta
-- ARGV     the epoch that it has, the one that it shall have
-- Answers  'ok', 'already' (it has the new one), 'other' (it has neither)
-- Events   none
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch == ARGV[2] then return 'already' end
if epoch ~= ARGV[1] then return 'other' end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
return 'ok'
