-- Appends events as Triton does: thirteen fields each.
-- KEYS[1]  the log
-- ARGV[1]  the position before
-- ARGV[2..]  thirteen values for each event
local pos, i = tonumber(ARGV[1]), 2
while i <= #ARGV do
  pos = pos + 1
  redis.call('XADD', KEYS[1], string.format('%d', pos) .. '-0', 'type', ARGV[i], 'job', ARGV[i + 1], 'version',
    ARGV[i + 2], 'attempt', ARGV[i + 3], 'at', ARGV[i + 4], 'by', ARGV[i + 5], 'causation', ARGV[i + 6],
    'correlation', ARGV[i + 7], 'traceparent', ARGV[i + 8], 'tenant', ARGV[i + 9], 'queue', ARGV[i + 10],
    'schema', ARGV[i + 11], 'data', ARGV[i + 12])
  i = i + 13
end
