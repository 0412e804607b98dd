-- The groups of a topic; those that were not seen for long are forgotten.
-- KEYS    groups: group → when it was last seen
-- ARGV    after how many ms it is forgotten
-- Answers {group…} of those that are known, {group…} of those that are forgotten now
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local flat, known, forgotten = redis.call('HGETALL', KEYS[1]), {}, {}
for i = 1, #flat, 2 do
  if now - tonumber(flat[i + 1]) > tonumber(ARGV[1]) then
    forgotten[#forgotten + 1] = flat[i]
    redis.call('HDEL', KEYS[1], flat[i])
  else
    known[#known + 1] = flat[i]
  end
end
return { known, forgotten }
