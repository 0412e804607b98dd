-- Ends a membership: what it owned is the others' at once.
-- ARGV    member, channel
if redis.call('ZREM', members, ARGV[1]) == 0 then return 0 end
redis.call('HDEL', joined, ARGV[1])
settle()
redis.call('PUBLISH', ARGV[2], 'left')
return 1
