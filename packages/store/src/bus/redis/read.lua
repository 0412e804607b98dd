-- Records of a partition from an offset on: about as many bytes as are asked for, and one at least.
-- KEYS    state, log
-- ARGV    epoch, offset, most records, bytes
-- Answers {''} when the partition is lost, else {offset behind the newest, first offset that is kept, offset + 1, record…}
local state = redis.call('HMGET', KEYS[1], 'epoch', 'next', 'start')
if state[1] ~= ARGV[1] then return { '' } end
local answer = { state[2], state[3] }
local from = text(tonumber(ARGV[2]) + 1)
local most, room = tonumber(ARGV[3]), tonumber(ARGV[4])
local count, bytes, step = 0, 0, 8
while count < most and bytes < room do
  local entries = redis.call('XRANGE', KEYS[2], from .. '-0', '+', 'COUNT', math.min(step, most - count))
  for _, entry in ipairs(entries) do
    local id = string.match(entry[1], '^(%d+)')
    answer[#answer + 1] = id
    answer[#answer + 1] = entry[2][2]
    count = count + 1
    bytes = bytes + #entry[2][2]
    from = text(tonumber(id) + 1)
  end
  if #entries < step then break end
  step = math.max(1, math.min(256, math.floor((room - bytes) * count / bytes)))
end
return answer
