-- Appends records to a partition, once however often it is asked. Nothing is written before everything is checked.
-- (Redis refuses the first write of a script when it is out of memory or read-only, never a later one.)
-- KEYS    state, log, producers
-- ARGV    epoch, producer, its sequence, most records, most bytes, what offsets skip in another life of the server,
--         channel, partition, then the records
-- Answers {'written', offset of the first} · {'full'} · {'lost'} · {'stale'}
local state = redis.call('HMGET', KEYS[1], 'epoch', 'next', 'count', 'bytes', 'life')
if state[1] ~= ARGV[1] then return { 'lost' } end

local sequence = tonumber(ARGV[3])
local before = redis.call('HGET', KEYS[3], ARGV[2])
if before then
  local known, base = string.match(before, '^(%d+):([%d-]+):')
  if tonumber(known) > sequence then return { 'stale' } end
  if tonumber(known) == sequence then
    if base == '-' then return { 'full' } end
    -- Written again, so that a WAIT behind this waits for the records too, on whichever connection.
    redis.call('HSET', KEYS[3], ARGV[2], known .. ':' .. base .. ':' .. text(nowMs()))
    return { 'written', base }
  end
end

local bytes = 0
for at = 9, #ARGV do bytes = bytes + #ARGV[at] + 32 end
local count = #ARGV - 8
local kept, keptBytes = tonumber(state[3]), tonumber(state[4])
if kept + count > tonumber(ARGV[4]) or keptBytes + bytes > tonumber(ARGV[5]) then
  -- The same request may still be on its way a second time: it must find this answer.
  redis.call('HSET', KEYS[3], ARGV[2], ARGV[3] .. ':-:' .. text(nowMs()))
  return { 'full' }
end

local base = tonumber(state[2])
local life = lifeOfServer()
-- Offsets that a former life had given to records that are lost now are never given again.
if state[5] ~= life then base = base + tonumber(ARGV[6]) end
for at = 1, count do
  -- 0-0 is no id: that of offset 0 is 1-0.
  redis.call('XADD', KEYS[2], text(base + at) .. '-0', 'r', ARGV[8 + at])
end
redis.call('HSET', KEYS[1], 'next', text(base + count), 'count', text(kept + count),
  'bytes', text(keptBytes + bytes), 'life', life)
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3] .. ':' .. text(base) .. ':' .. text(nowMs()))
redis.call('PUBLISH', ARGV[7], ARGV[8])
return { 'written', text(base) }
