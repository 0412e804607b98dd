-- Begins a partition, or goes on with what is there.
-- KEYS    state
-- ARGV    epoch, offset that it begins with, '' when it must be there already
-- Answers 1, or 0 when it is not there
local before = redis.call('HGET', KEYS[1], 'epoch')
if before then
  if before ~= ARGV[1] then redis.call('HSET', KEYS[1], 'epoch', ARGV[1]) end
  return 1
end
if ARGV[2] == '' then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'next', ARGV[2], 'start', ARGV[2], 'count', '0', 'bytes', '0',
  'life', lifeOfServer())
return 1
