-- Reads pages of streams of one shard.
-- ARGV    epoch, then stream, after, maximum of entries and of bytes for each page
-- Answers nil for a shard that is empty or of another epoch, else
--         {applied, trimmed, {1 when more remain else 0, entries…} of each page, position and content… of what is shared}
local state = redis.call('HMGET', KEYS[1], 'epoch', 'applied', 'trimmed')
if state[1] ~= ARGV[1] then return nil end
local trimmed = tonumber(state[3])
local pages, shared, lengths = {}, {}, {}

-- What an entry costs: itself, and the content that it refers to.
local function bytesOf(entry)
  local position, kind = string.match(entry, '^(%d+):%-?%d+:(.)')
  if kind == 'I' then return #entry end
  if not lengths[position] then lengths[position] = redis.call('STRLEN', base .. 'b:' .. position) end
  return #entry + lengths[position], position
end

local sent = {}
for i = 2, #ARGV, 4 do
  local key, maxEntries, maxBytes = base .. 'e:' .. ARGV[i], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local page, bytes, above = { 0 }, 0, text(math.max(tonumber(ARGV[i + 1]), trimmed))
  repeat
    local found = redis.call('ZRANGEBYSCORE', key, '(' .. above, state[2], 'WITHSCORES', 'LIMIT', 0, 16)
    for j = 1, #found, 2 do
      local cost, position = bytesOf(found[j])
      bytes = bytes + cost
      if #page > 1 and (#page > maxEntries or bytes > maxBytes) then
        page[1] = 1
        break
      end
      page[#page + 1] = found[j]
      above = found[j + 1]
      if position and not sent[position] then
        sent[position] = true
        shared[#shared + 1] = position
        shared[#shared + 1] = redis.call('GET', base .. 'b:' .. position)
      end
    end
  until page[1] == 1 or #found < 32
  pages[#pages + 1] = page
end
return { state[2], state[3], pages, shared }
