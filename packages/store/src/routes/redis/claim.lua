-- Writes the routes of connections, each replacing whatever owner there is, and answers the new owner sequences.
-- KEYS    the routes of each connection's user: key -> owner \n node \n incarnation \n leaseUntilMs \n directoryAtMs; then,
--         where they may be written here, the directory's entry of each key
-- ARGV    leaseMs, directoryTtlMs, then key, mid, node, incarnation and counter (10 digits) of each; no key comes twice
-- Answers owner, and the route displaced or '', of each
local time = redis.call('TIME')
local clock = time[1] * 1000000 + time[2]
local now = math.floor(clock / 1000)
local leaseMs, directoryTtlMs, claims = ARGV[1], ARGV[2], (#ARGV - 2) / 5
local nowText, lease = string.format('%.0f', now), string.format('%.0f', now + leaseMs)
local SOME = 8

-- The owner of a claim, and what it displaces.
local function claim(routes, key, node, incarnation, counter)
  -- A comet that died leaves its routes behind. Those of a user who always has another connection nothing else removes:
  -- each claim looks at a few. (Redis below 6.2 does not know the command, and keeps them.)
  local some, old = redis.pcall('HRANDFIELD', routes, SOME, 'WITHVALUES'), nil
  local all = not some.err and #some < 2 * SOME
  if some.err then some = {} end
  for i = 1, #some, 2 do
    if some[i] == key then
      old = some[i + 1]
    elseif tonumber(string.match(some[i + 1], '^[^\n]*\n[^\n]*\n[^\n]*\n(%d+)')) <= now then
      redis.call('HDEL', routes, some[i])
    end
  end
  if not old and not all then old = redis.call('HGET', routes, key) end
  local us, displaced = clock, ''
  if old then
    -- Owners only grow, also when the store's clock was set back by a failover.
    local oldUs = tonumber(string.sub(old, 1, 16))
    if oldUs >= us then us = oldUs + 1 end
    local owner, oldNode, oldIncarnation, oldLease = string.match(old, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n(%d+)')
    local alive = tonumber(oldLease) > now
    if oldNode == node and oldIncarnation == incarnation and tonumber(counter) > 0 and alive then
      local oldCounter = string.sub(owner, -10)
      -- It was asked for twice: the connection stays the owner that it was told it is.
      if oldCounter == counter then return owner, '' end
      -- Of one comet the later connection is the newer, also when its claim was served first. The owner answered is older.
      if oldCounter > counter then return string.sub(owner, 1, -11) .. counter, '' end
    end
    if alive then displaced = owner .. '\n' .. oldNode .. '\n' .. oldIncarnation end
  end
  local owner = string.format('%016.0f', us) .. '-' .. incarnation .. '-' .. counter
  redis.call('HSET', routes, key, owner .. '\n' .. node .. '\n' .. incarnation .. '\n' .. lease .. '\n' .. nowText)
  redis.call('PEXPIRE', routes, leaseMs)
  return owner, displaced
end

local answer = {}
for i = 1, claims do
  local at = 5 * i - 2
  answer[2 * i - 1], answer[2 * i] = claim(KEYS[i], ARGV[at], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  local directory = KEYS[claims + i]
  if directory then redis.call('SET', directory, ARGV[at + 1], 'PX', directoryTtlMs) end
end
return answer
