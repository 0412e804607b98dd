-- Removes a route where it still belongs to this owner.
-- KEYS[1] the user's routes; ARGV key, owner. Answers 1 when it did.
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old or string.match(old, '^[^\n]*') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
