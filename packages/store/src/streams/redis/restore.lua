-- Begins a shard that is empty or of another epoch.
-- ARGV    epoch, position, life, streams to clean up in one call
-- Answers {applied, trimmed}, or nil when there is more to clean up: then it is to be called again.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'applied', 'trimmed')
if state[1] == ARGV[1] then return { state[2], state[3] } end
redis.call('DEL', KEYS[1])
if drop('+inf', tonumber(ARGV[4])) then return nil end
redis.call('UNLINK', base .. 'k')
local at = 0
if tonumber(ARGV[2]) >= 0 then
  local time = redis.call('TIME')
  at = time[1] * 1000 + math.floor(time[2] / 1000)
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'applied', ARGV[2], 'trimmed', ARGV[2], 'restored', ARGV[2],
  'restoredAt', at, 'life', ARGV[3])
return { ARGV[2], ARGV[2] }
