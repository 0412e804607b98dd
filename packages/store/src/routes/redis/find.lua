-- Reads routes and rooms of one shard. KEYS the hashes. Answers {now in ms, the content of each hash as a flat list}
local time = redis.call('TIME')
local answer = { string.format('%.0f', math.floor((time[1] * 1000000 + time[2]) / 1000)) }
for i = 1, #KEYS do answer[i + 1] = redis.call('HGETALL', KEYS[i]) end
return answer
