-- Commits offsets of partitions that the member owns while its lease holds; never back.
-- ARGV    member, then topic/partition, offset…
-- Answers how many were the member's
local lease = redis.call('ZSCORE', members, ARGV[1])
if not lease or tonumber(lease) < nowMs() then return 0 end
local stored = 0
for i = 2, #ARGV, 2 do
  if redis.call('HGET', owners, ARGV[i]) == ARGV[1] then
    stored = stored + 1
    local before = tonumber(redis.call('HGET', commits, ARGV[i]) or -1)
    if tonumber(ARGV[i + 1]) > before then redis.call('HSET', commits, ARGV[i], ARGV[i + 1]) end
  end
end
return stored
