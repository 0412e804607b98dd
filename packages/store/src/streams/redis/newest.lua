-- ARGV streams of one shard. Answers the newest position of each, or ''.
local life = redis.call('HGET', KEYS[1], 'life')
local answer = {}
for i = 1, #ARGV do
  local newest = life and newestOf(ARGV[i], life)
  answer[i] = newest and text(newest) or ''
end
return answer
