-- Creates the log of one partition, or says what it was created with. Runs without the prelude.
-- KEYS[1]  the partition's meta
-- ARGV     epoch for a new log, number of partitions, layout of the keys; the time is the server's
-- Answers  {epoch, partitions, pos, layout}
-- Events   none
local t = redis.call('TIME')
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'partitions', ARGV[2], 'pos', 0,
    'layout', ARGV[3], 'created', string.format('%.0f', t[1] * 1000000 + t[2]))
end
return redis.call('HMGET', KEYS[1], 'epoch', 'partitions', 'pos', 'layout')
