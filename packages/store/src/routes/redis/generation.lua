-- Answers the store's generation, giving it one when it has none: a store that was emptied gets another.
-- KEYS[1] the generation; ARGV[1] a fresh one
local generation = redis.call('GET', KEYS[1])
if generation then return generation end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
