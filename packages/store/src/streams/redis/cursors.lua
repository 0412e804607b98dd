-- ARGV[1] the stream. Answers key, epoch and position of each cursor.
local now, answer = nowMs(), {}
local held = redis.call('HGETALL', base .. 'c:' .. ARGV[1])
for i = 1, #held, 2 do
  local epoch, position, untilMs = string.match(held[i + 1], '^[^\n]*\n([^\n]*)\n(%-?%d+)\n(%d+)')
  if tonumber(untilMs) > now then
    answer[#answer + 1] = held[i]
    answer[#answer + 1] = epoch
    answer[#answer + 1] = position
  end
end
return answer
