-- Saves cursors of streams of one shard.
-- ARGV    maximum of a stream, then stream, key, owner, epoch, position, how long it is kept in ms, 1 when it begins there else
--         0, of each
local now, max = nowMs(), tonumber(ARGV[1])

for at = 2, #ARGV, 7 do
  local hash, key = base .. 'c:' .. ARGV[at], ARGV[at + 1]
  local held = heldCursors(hash, key, now)
  saveCursor(hash, held, key, ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4]), now + ARGV[at + 5],
    ARGV[at + 6] == '1', max)
end
return 1
