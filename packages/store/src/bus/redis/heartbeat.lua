-- Joins, or renews a member's lease, and ends the leases that ran out.
-- ARGV    member, lease in ms, grace in ms, channel, topic=partitions… separated by spaces
-- Answers topic/partition, 1 when it stays else 0 when it is to be given up … of what the member owns
local member, lease, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = nowMs()
-- When nobody was heard for long, it is rather Redis that was away: who lives gets a moment to say so.
local beat = tonumber(redis.call('HGET', about, 'beat') or now)
if now - beat > lease / 2 then
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', members, beat, now + grace)) do
    redis.call('ZADD', members, now + grace, one)
  end
end
redis.call('HSET', about, 'beat', string.format('%.0f', now))
redis.call('ZADD', members, now + lease, member)

local changed = false
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', '(' .. string.format('%.0f', now))) do
  redis.call('ZREM', members, gone)
  redis.call('HDEL', joined, gone)
  changed = true
end
if redis.call('HEXISTS', joined, member) == 0 then
  redis.call('HSET', joined, member, redis.call('HINCRBY', about, 'joins', 1) .. ' ' .. ARGV[5])
  changed = true
end
if changed then
  settle()
  redis.call('PUBLISH', ARGV[4], 'shared')
end

local plan, answer = pairsOf(targets), {}
for at, owner in pairs(pairsOf(owners)) do
  if owner == member then
    answer[#answer + 1] = at
    answer[#answer + 1] = plan[at] == member and '1' or '0'
  end
end
return answer
