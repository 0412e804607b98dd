-- ARGV streams of one shard. Answers the newest position of each, or ''.
local state = redis.call('HMGET', KEYS[1], 'life', 'restored')
local answer = {}
for i = 1, #ARGV do
  answer[i] = state[1] and toldOf(ARGV[i], state[1], state[2]) or ''
end
return answer
