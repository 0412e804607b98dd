-- Cursors of a stream's devices, kept as shard.lua says.

-- `<` on strings follows the server's locale.
local function isOlder(a, b)
  -- A session that goes on: most of what is saved.
  if a == b then return false end
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- What is held of a stream beside the cursor of one device; those whose time is over are removed.
local function heldCursors(hash, key, now)
  local all, held = redis.call('HGETALL', hash), { count = 0, sequence = 0, lastUntil = 0 }
  for i = 1, #all, 2 do
    local of, inEpoch, atPosition, keptUntil, seq, began =
      string.match(all[i + 1], '^([^\n]*)\n([^\n]*)\n(%-?%d+)\n(%d+)\n(%d+)\n?(%-?%d*)$')
    keptUntil, seq = tonumber(keptUntil), tonumber(seq)
    held.sequence = math.max(held.sequence, seq)
    if keptUntil <= now then
      redis.call('HDEL', hash, all[i])
    else
      held.count = held.count + 1
      held.lastUntil = math.max(held.lastUntil, keptUntil)
      if all[i] == key then
        held.own = { owner = of, epoch = inEpoch, position = tonumber(atPosition), begin = began }
        if began == '' then held.own.begin = atPosition end
      elseif not held.oldest or seq < held.oldest then
        held.oldest, held.oldestKey = seq, all[i]
      end
    end
  end
  return held
end

-- An older owner's changes nothing; of the same epoch the larger position stays.
local function saveCursor(hash, held, key, owner, epoch, position, untilMs, begins, max)
  local old = held.own
  if old and isOlder(owner, old.owner) then return end
  local begin = text(position)
  if old and old.epoch == epoch then
    if not begins then begin = old.begin end
    position = math.max(position, old.position)
  end
  if not old and held.count >= max then redis.call('HDEL', hash, held.oldestKey) end
  redis.call('HSET', hash, key, table.concat(
    { owner, epoch, text(position), text(untilMs), text(held.sequence + 1), begin }, '\n'))
  redis.call('PEXPIREAT', hash, text(math.max(untilMs, held.lastUntil)))
end
