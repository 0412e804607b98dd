-- Newest entries of collapse ids in streams of one shard.
-- ARGV    epoch, then collapse id .. stream of each
-- Answers nil for a shard that is empty or of another epoch, else {trimmed, the newest position of each or ''…}
local state = redis.call('HMGET', KEYS[1], 'epoch', 'trimmed')
if state[1] ~= ARGV[1] then return nil end
local answer = { state[2] }
for i = 2, #ARGV do
  local position = redis.call('ZSCORE', base .. 'k', ARGV[i])
  answer[i] = position and text(tonumber(position)) or ''
end
return answer
