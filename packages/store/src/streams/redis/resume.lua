-- Where devices go on in their streams, which become theirs.
-- KEYS    the state of the shard of each device's stream
-- ARGV    epoch, maximum of a stream, how long a cursor is kept in ms, then stream, key (empty: none is kept) and owner of each
-- Answers 1 and epoch and position of its cursor for each, or 0 and those of the end, or -1 where that is not known
local epoch, max, ttlMs, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), nowMs()
local states, answer = {}, {}

local function stateOf(shard)
  local state = states[shard]
  if not state then
    state = redis.call('HMGET', shard, 'epoch', 'applied', 'restoredAt')
    states[shard] = state
  end
  return state
end

-- The position of the end, where a device that is not known may begin; a cursor of it may have been lost with the shard.
local function endOf(shard, isKept)
  local state = stateOf(shard)
  if state[1] ~= epoch then return nil end
  local lost = isKept and tonumber(state[2]) >= 0 and tonumber(state[3] or 0) > now - ttlMs
  if not lost then return state[2] end
end

for i = 1, #KEYS do
  local stream, key, owner = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]
  local hash = string.sub(KEYS[i], 1, -6) .. 'c:' .. stream
  local known, of, position = -1, '', ''
  local held = key ~= '' and heldCursors(hash, key, now)
  if held and held.own then
    known, of, position = 1, held.own.epoch, text(held.own.position)
  else
    local last = endOf(KEYS[i], held)
    if last then known, of, position = 0, epoch, last end
  end
  if held and known >= 0 then
    saveCursor(hash, held, key, owner, of, tonumber(position), now + ttlMs, false, max)
  end
  answer[#answer + 1] = known
  answer[#answer + 1] = of
  answer[#answer + 1] = position
end
return answer
