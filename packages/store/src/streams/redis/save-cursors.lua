-- Saves cursors of streams of one shard.
-- ARGV    maximum of a stream, then stream, key, owner, epoch, position, how long it is kept in ms, 1 when it begins there else
--         0, of each
local now, max = nowMs(), tonumber(ARGV[1])

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

for at = 2, #ARGV, 7 do
  local hash, key, owner, epoch = base .. 'c:' .. ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local position, untilMs = tonumber(ARGV[at + 4]), now + ARGV[at + 5]
  local held, old = redis.call('HGETALL', hash), nil
  local count, sequence, lastUntil, oldest, oldestKey = 0, 0, untilMs, nil, nil
  for i = 1, #held, 2 do
    local of, inEpoch, atPosition, keptUntil, seq, began =
      string.match(held[i + 1], '^([^\n]*)\n([^\n]*)\n(%-?%d+)\n(%d+)\n(%d+)\n?(%-?%d*)$')
    keptUntil, seq = tonumber(keptUntil), tonumber(seq)
    sequence = math.max(sequence, seq)
    if keptUntil <= now then
      redis.call('HDEL', hash, held[i])
    else
      count = count + 1
      lastUntil = math.max(lastUntil, keptUntil)
      if held[i] == key then
        old = { owner = of, epoch = inEpoch, position = tonumber(atPosition), begin = began }
        if began == '' then old.begin = atPosition end
      elseif not oldest or seq < oldest then
        oldest, oldestKey = seq, held[i]
      end
    end
  end
  if not (old and isOlder(owner, old.owner)) then
    local begin = text(position)
    if old and old.epoch == epoch then
      if ARGV[at + 6] ~= '1' then begin = old.begin end
      position = math.max(position, old.position)
    end
    if not old and count >= max then redis.call('HDEL', hash, oldestKey) end
    redis.call('HSET', hash, key, table.concat(
      { owner, epoch, text(position), text(untilMs), text(sequence + 1), begin }, '\n'))
    redis.call('PEXPIREAT', hash, text(lastUntil))
  end
end
return 1
