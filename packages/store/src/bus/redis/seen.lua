-- A group is seen.
-- KEYS    groups
-- ARGV    group
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return 1
