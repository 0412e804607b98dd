-- Removes records from the start of a partition: those below a bound that are old, or of any age while it is nearly full.
-- KEYS    state, log, producers
-- ARGV    offset up to which records may go ('all': every one), age in ms, most records, most bytes that it may keep,
--         how many at once, age in ms at which producers are forgotten
-- Answers {removed, 1 when there may be more, kept, bytes kept}
local state = redis.call('HMGET', KEYS[1], 'start', 'count', 'bytes', 'next')
if not state[4] then return { 0, 0, 0, 0 } end
local start, count, bytes, next = tonumber(state[1]), tonumber(state[2]), tonumber(state[3]), tonumber(state[4])
local bound = ARGV[1] == 'all' and next or math.min(next, tonumber(ARGV[1]))
local now = nowMs()
local oldest = now - tonumber(ARGV[2])
local manyRecords, manyBytes, most = tonumber(ARGV[3]) * 0.75, tonumber(ARGV[4]) * 0.75, tonumber(ARGV[5])

local removed, more = 0, true
while more and removed < most do
  local entries = redis.call('XRANGE', KEYS[2], text(start + 1) .. '-0', '+', 'COUNT', 16)
  more = #entries == 16
  for _, entry in ipairs(entries) do
    local offset = tonumber(string.match(entry[1], '^(%d+)')) - 1
    local record = entry[2][2]
    -- The time of a record: see record-codec.ts.
    local old = struct.unpack('>d', record, 2) <= oldest
    if offset >= bound or not (old or count > manyRecords or bytes > manyBytes) then
      more = false
      break
    end
    removed, count, bytes, start = removed + 1, count - 1, bytes - #record - 32, offset + 1
  end
end
if removed > 0 then
  redis.call('XTRIM', KEYS[2], 'MINID', text(start + 1) .. '-0')
  redis.call('HSET', KEYS[1], 'start', text(start), 'count', text(count), 'bytes', text(bytes))
end

local producers = redis.call('HGETALL', KEYS[3])
for i = 1, #producers, 2 do
  local at = string.match(producers[i + 1], ':(%d+)$')
  if now - tonumber(at) > tonumber(ARGV[6]) then redis.call('HDEL', KEYS[3], producers[i]) end
end
return { removed, more and 1 or 0, count, bytes }
