-- Writes the route of one connection, replacing whatever owner there is, and answers the new owner sequence.
-- KEYS[1] the user's routes: key -> owner \n node \n incarnation \n leaseUntilMs \n directoryAtMs
-- ARGV    key, node, incarnation, counter (10 digits), leaseMs
-- Answers {owner, the route displaced or ''}
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local now = math.floor(us / 1000)
-- A comet that died leaves its routes behind. Those of a user who always has another connection nothing else removes:
-- each claim looks at a few. (Redis below 6.2 does not know the command, and keeps them.)
local some = redis.pcall('HRANDFIELD', KEYS[1], 8, 'WITHVALUES')
if some.err then some = {} end
for i = 1, #some, 2 do
  local lease = string.match(some[i + 1], '^[^\n]*\n[^\n]*\n[^\n]*\n(%d+)')
  if tonumber(lease) <= now and some[i] ~= ARGV[1] then redis.call('HDEL', KEYS[1], some[i]) end
end
local old = redis.call('HGET', KEYS[1], ARGV[1])
local displaced = ''
if old then
  -- Owners only grow, also when the store's clock was set back by a failover.
  local oldUs = tonumber(string.sub(old, 1, 16))
  if oldUs >= us then us = oldUs + 1 end
  local owner, node, incarnation, lease = string.match(old, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n(%d+)')
  if node == ARGV[2] and incarnation == ARGV[3] and tonumber(ARGV[4]) > 0 and tonumber(lease) > now then
    local counter = string.sub(owner, -10)
    -- It was asked for twice: the connection stays the owner that it was told it is.
    if counter == ARGV[4] then return { owner, '' } end
    -- Of one comet the later connection is the newer, also when its claim was served first. The owner answered is older.
    if counter > ARGV[4] then return { string.sub(owner, 1, -11) .. ARGV[4], '' } end
  end
  if tonumber(lease) > now then displaced = owner .. '\n' .. node .. '\n' .. incarnation end
end
local owner = string.format('%016.0f', us) .. '-' .. ARGV[3] .. '-' .. ARGV[4]
local lease = string.format('%.0f', now + ARGV[5])
redis.call('HSET', KEYS[1], ARGV[1],
  owner .. '\n' .. ARGV[2] .. '\n' .. ARGV[3] .. '\n' .. lease .. '\n' .. string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return { owner, displaced }
