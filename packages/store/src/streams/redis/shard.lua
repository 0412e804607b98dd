-- Goes before every script of the streams. KEYS[1] is the state of the shard, `…{p}:s:state`; all other keys of the script
-- begin with the same `…{p}:s:`, and so are in the same slot:
--   state        hash    epoch, applied, trimmed, restored (where), restoredAt (Unix ms; 0 at the beginning), life (another each time the shard is restored)
--   e:{stream}   zset    position -> position:prev:own part of the entry
--   n:{stream}   string  newest position:life, for 24 h
--   i            zset    position -> position:(length:stream)…, the streams that have an entry there
--   b:{position} string  the content of a push that is stored once
--   k            zset    collapse id .. stream -> the newest position, of the entries that are here
--   d:{id}       string  position:digest of a message id, for 24 h from acceptance
--   c:{stream}   hash    cursors: key -> owner \n epoch \n position \n untilMs \n sequence \n begin
-- A sorted set and not a stream holds the entries: Redis 7 gives each new stream 4 KB at once.
local base = string.sub(KEYS[1], 1, -6)

local function text(number) return string.format('%.0f', number) end

local function nowMs()
  local time = redis.call('TIME')
  return math.floor((time[1] * 1000000 + time[2]) / 1000)
end

-- The position of the newest entry that is held of a stream, as text, or nil.
local function heldNewestOf(stream)
  return redis.call('ZREVRANGE', base .. 'e:' .. stream, 0, 0, 'WITHSCORES')[2]
end

-- The newest position of a stream, or nil. What is left of an earlier life of the shard does not count; the entries do
-- when it was forgotten after its time.
local function newestOf(stream, life)
  local known = redis.call('GET', base .. 'n:' .. stream)
  if known then
    local position, of = string.match(known, '^(%d+):(.*)$')
    if of == life then return tonumber(position) end
  end
  local last = heldNewestOf(stream)
  if last then return tonumber(last) end
end

-- What is told as newest: what came before the shard was restored is not known.
local function toldOf(stream, life, restored)
  local newest = newestOf(stream, life)
  if newest then return text(newest) end
  if tonumber(restored) >= 0 then return restored end
end

-- The streams in a member of the index.
local function streamsOf(member)
  local streams, at = {}, string.find(member, ':', 1, true) + 1
  while at <= #member do
    local colon = string.find(member, ':', at, true)
    local length = tonumber(string.sub(member, at, colon - 1))
    streams[#streams + 1] = string.sub(member, colon + 1, colon + length)
    at = colon + length + 1
  end
  return streams
end
