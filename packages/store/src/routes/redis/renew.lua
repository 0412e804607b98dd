-- Extends the leases of one node's routes and rooms in one shard, and writes again what is missing.
-- KEYS    the routes of each session's user, then the rooms
-- ARGV    node, incarnation, leaseMs, directoryRefreshMs, number of sessions, then key and owner of each session
-- Answers one number for each session: 0 renewed, 1 superseded by a newer owner, 2 renewed and its directory entry is due
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
local node, incarnation, leaseMs, refreshMs, sessions = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local lease = string.format('%.0f', now + leaseMs)
local results = {}
for i = 1, sessions do
  local key, owner = ARGV[4 + 2 * i], ARGV[5 + 2 * i]
  local old = redis.call('HGET', KEYS[i], key)
  local oldOwner, directoryAt
  if old then oldOwner, directoryAt = string.match(old, '^([^\n]*)\n[^\n]*\n[^\n]*\n%d+\n(%d+)') end
  if oldOwner and oldOwner > owner then
    results[i] = 1
  else
    if oldOwner == owner and now - directoryAt < refreshMs then
      results[i] = 0
    else
      results[i] = 2
      directoryAt = string.format('%.0f', now)
    end
    redis.call('HSET', KEYS[i], key,
      owner .. '\n' .. node .. '\n' .. incarnation .. '\n' .. lease .. '\n' .. directoryAt)
    redis.call('PEXPIRE', KEYS[i], leaseMs)
  end
end
for i = sessions + 1, #KEYS do
  redis.call('HSET', KEYS[i], node .. '\n' .. incarnation, lease)
  redis.call('PEXPIRE', KEYS[i], leaseMs)
end
return results
