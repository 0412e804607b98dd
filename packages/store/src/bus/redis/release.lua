-- Gives partitions up to those who shall own them.
-- ARGV    member, channel, topic/partition…
for i = 3, #ARGV do
  local at = ARGV[i]
  if redis.call('HGET', owners, at) == ARGV[1] then
    local target = redis.call('HGET', targets, at)
    if target then redis.call('HSET', owners, at, target) else redis.call('HDEL', owners, at) end
  end
end
redis.call('PUBLISH', ARGV[2], 'released')
return 1
