-- devices
-- ARGV    streams. Answers for each key, epoch, position, until when it is kept and begin of each cursor.
local now, answer = nowMs(), {}
for i = 1, #ARGV do
  local held, found = redis.call('HGETALL', base .. 'c:' .. ARGV[i]), {}
  for j = 1, #held, 2 do
    local epoch, position, untilMs, begin =
      string.match(held[j + 1], '^[^\n]*\n([^\n]*)\n(%-?%d+)\n(%d+)\n%d+\n?(%-?%d*)$')
    if tonumber(untilMs) > now then
      if begin == '' then begin = position end
      found[#found + 1] = held[j]
      found[#found + 1] = epoch
      found[#found + 1] = position
      found[#found + 1] = untilMs
      found[#found + 1] = begin
    end
  end
  answer[i] = found
end
return answer
