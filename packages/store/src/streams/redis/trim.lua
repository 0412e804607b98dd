-- Removes what is archived. The removals come first: they are allowed to a Redis that is out of memory, and then the
-- other write of the script is, too.
-- ARGV    epoch, through, streams to clean up in one call
-- Answers 1 when there may be more to remove: then it is to be called again.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'applied', 'trimmed')
if state[1] ~= ARGV[1] then return 0 end
local through = math.min(tonumber(ARGV[2]), tonumber(state[2]))
if through <= tonumber(state[3]) then return 0 end
local last = drop(text(through), tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'trimmed', last or text(through))
return last and 1 or 0
