-- The epoch, made when there is none.
-- KEYS    meta
-- ARGV    an epoch to take, the epoch that was found incomplete and is to end, or ''
-- Answers epoch, then topic, partitions… of what was opened under it
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or epoch == ARGV[2] then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
local answer = { epoch }
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local topic = string.match(fields[i], '^topic:(.*)$')
  if topic then
    answer[#answer + 1] = topic
    answer[#answer + 1] = fields[i + 1]
  end
end
return answer
