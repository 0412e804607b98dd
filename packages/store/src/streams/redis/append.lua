-- Takes a batch in. Nothing is written before everything is checked, and applied is written last. (Redis refuses the
-- first write of a script when it is out of memory or read-only, never a later one.)
-- ARGV    epoch, before, through, how long a newest position is kept in ms, and as one MessagePack list for each push:
--         position, id or '', digest, until when the id is known, the content or '' when every entry carries it, number of
--         targets, then stream, entry and collapse id (or '') of each target; then, in another such list, the hashes of
--         routes that are to be read, by their names behind the `…{p}:` that the keys of the streams begin with, too
-- Answers {'empty'} · {'behind', applied} · {'appended', applied before, prev of each entry in order, joined by commas,
--         {position, 1 when the digest is another else 0}… of known ids, {stream, newest}… of pushes applied before,
--         now in ms, the content of each hash as a flat list…}
local call = redis.call
local state = call('HMGET', KEYS[1], 'epoch', 'applied', 'trimmed', 'life', 'restored')
if state[1] ~= ARGV[1] then return { 'empty' } end
local applied, trimmed, life = tonumber(state[2]), state[3], state[4]
local before, through = tonumber(ARGV[2]), tonumber(ARGV[3])
if applied < before then return { 'behind', state[2] } end

local items = cmsgpack.unpack(ARGV[5])
local entryKey, idKey, newestKey = base .. 'e:', base .. 'd:', base .. 'n:'

-- What is fresh: its ids and streams are looked up at once. A command for each would cost several times as much.
local ids, streams, isAsked, first = {}, {}, {}, #items + 1
local at = 1
while at <= #items do
  local next = at + 6 + 3 * items[at + 5]
  if tonumber(items[at]) > applied then
    if first > at then first = at end
    if items[at + 1] ~= '' then ids[#ids + 1] = items[at + 1] end
    for i = at + 6, next - 1, 3 do
      local stream = items[i]
      if not isAsked[stream] then
        isAsked[stream] = true
        streams[#streams + 1] = stream
      end
    end
  end
  at = next
end

-- Values by name, false where there is none; keys are the prefix and the name.
local function valuesOf(prefix, names)
  local values = {}
  for from = 1, #names, 1000 do
    local keys = {}
    for i = from, math.min(from + 999, #names) do keys[#keys + 1] = prefix .. names[i] end
    local found = call('MGET', unpack(keys))
    for i = 1, #found do values[names[from + i - 1]] = found[i] end
  end
  return values
end

-- Positions are texts here: they are compared with nothing.
local newest, ofLife = valuesOf(newestKey, streams), ':' .. life
for i = 1, #streams do
  local stream = streams[i]
  local value = newest[stream]
  if value and string.sub(value, -#ofLife) == ofLife then
    newest[stream] = string.sub(value, 1, -#ofLife - 1)
  else
    newest[stream] = heldNewestOf(stream) or trimmed
  end
end
local idsKnown = valuesOf(idKey, ids)

-- Pushes applied before: what is newest in their streams.
local known, isNamed = {}, {}
at = 1
while at < first do
  local next = at + 6 + 3 * items[at + 5]
  for i = at + 6, next - 1, 3 do
    local stream = items[i]
    local last = not isNamed[stream] and toldOf(stream, life, state[5])
    isNamed[stream] = true
    if last then known[#known + 1] = { stream, last } end
  end
  at = next
end

local now = nowMs()
local lastUntil, lastTtl
local function ttlUntil(untilMs)
  if untilMs ~= lastUntil then lastUntil, lastTtl = untilMs, text(untilMs - now) end
  return lastTtl
end

local prevs, repeated, indices, moved = {}, {}, {}, {}
while at <= #items do
  local position, id, digest, untilMs, content = items[at], items[at + 1], items[at + 2], items[at + 3], items[at + 4]
  local from = at + 6
  local next = from + 3 * items[at + 5]
  local value = id ~= '' and idsKnown[id]
  -- The same position is the same push: it was taken in before the shard was lost.
  if value and string.sub(value, 1, #position + 1) ~= position .. ':' then
    repeated[#repeated + 1] = { position, string.match(value, '^%d+:(.*)$') == digest and 0 or 1 }
  else
    local index = position .. ':'
    for i = from, next - 1, 3 do
      local stream, collapseId = items[i], items[i + 2]
      local prev = newest[stream]
      newest[stream] = position
      moved[stream] = true
      call('ZADD', entryKey .. stream, position, position .. ':' .. prev .. ':' .. items[i + 1])
      if collapseId ~= '' then call('ZADD', base .. 'k', position, collapseId .. stream) end
      prevs[#prevs + 1] = prev
      if next - from == 3 then index = index .. #stream .. ':' .. stream end
    end
    if next - from > 3 then
      local parts = { index }
      for i = from, next - 1, 3 do parts[#parts + 1] = #items[i] .. ':' .. items[i] end
      index = table.concat(parts)
    end
    if next > from then
      indices[#indices + 1] = position
      indices[#indices + 1] = index
      if content ~= '' then call('SET', base .. 'b:' .. position, content) end
    end
    if id ~= '' and untilMs > now then
      idsKnown[id] = position .. ':' .. digest
      call('SET', idKey .. id, idsKnown[id], 'PX', ttlUntil(untilMs))
    end
  end
  at = next
end
for from = 1, #indices, 2000 do
  call('ZADD', base .. 'i', unpack(indices, from, math.min(from + 1999, #indices)))
end
for i = 1, #streams do
  local stream = streams[i]
  if moved[stream] then call('SET', newestKey .. stream, newest[stream] .. ofLife, 'PX', ARGV[4]) end
end
if through > applied then call('HSET', KEYS[1], 'applied', ARGV[3]) end
-- Whoever gets a route from now on reads the streams as they are now.
local routes = cmsgpack.unpack(ARGV[6])
local shardBase = string.sub(base, 1, -3)
for i = 1, #routes do routes[i] = call('HGETALL', shardBase .. routes[i]) end
return { 'appended', state[2], table.concat(prevs, ','), repeated, known, text(now), routes }
