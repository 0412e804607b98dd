-- Reads the entries of a shard by position, all of each position.
-- ARGV    epoch, after, maximum of positions, of entries and of bytes (the last two are exceeded by one position)
-- Answers nil for a shard that is empty or of another epoch, else
--         {through, stream and entry…, position and content… of what is shared}
local state = redis.call('HMGET', KEYS[1], 'epoch', 'applied', 'trimmed')
if state[1] ~= ARGV[1] then return nil end
local above = text(math.max(tonumber(ARGV[2]), tonumber(state[3])))
local positions, maxPositions, maxEntries, maxBytes = 0, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local entries, shared, bytes = {}, {}, 0
while true do
  local found = redis.call('ZRANGEBYSCORE', base .. 'i', '(' .. above, state[2], 'WITHSCORES', 'LIMIT', 0, 128)
  if not found[1] then return { state[2], entries, shared } end
  for at = 1, #found, 2 do
    if positions > 0 and (positions >= maxPositions or #entries / 2 >= maxEntries or bytes >= maxBytes) then
      return { above, entries, shared }
    end
    above = found[at + 1]
    positions = positions + 1
    local streams, isShared = streamsOf(found[at]), false
    for i = 1, #streams do
      local entry = redis.call('ZRANGEBYSCORE', base .. 'e:' .. streams[i], above, above)[1]
      entries[#entries + 1] = streams[i]
      entries[#entries + 1] = entry or ''
      bytes = bytes + #(entry or '')
      isShared = isShared or string.find(entry or '', '^%d+:%-?%d+:S') ~= nil
    end
    local content = isShared and redis.call('GET', base .. 'b:' .. above)
    if content then
      shared[#shared + 1] = above
      shared[#shared + 1] = content
      bytes = bytes + #content
    end
  end
end
