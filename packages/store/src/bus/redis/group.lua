-- What the scripts of a group begin with.
-- KEYS    members: member → until when its lease holds; joined: member → number of its joining and its topics;
--         targets: topic/partition → who shall own it; owners: topic/partition → who owns it;
--         commits: topic/partition → offset; about: beat, joins
local members, joined, targets, owners, commits, about = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local function pairsOf(key)
  local flat, found = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

-- Shares partitions 0 … count - 1 of a topic evenly among its readers; moves no more of them than that needs.
local function share(topic, count, readers, before, plan)
  local least = math.floor(count / #readers)
  local extra = count - least * #readers
  local shares, free = {}, {}
  for _, reader in ipairs(readers) do shares[reader] = {} end
  for partition = 0, count - 1 do
    local own = shares[before[topic .. '/' .. partition] or '']
    if own then own[#own + 1] = partition else free[#free + 1] = partition end
  end
  for _, reader in ipairs(readers) do
    local own, quota = shares[reader], least
    if #own > least and extra > 0 then quota, extra = least + 1, extra - 1 end
    while #own > quota do free[#free + 1] = table.remove(own) end
  end
  table.sort(free, function(a, b) return a > b end)
  for _, reader in ipairs(readers) do
    local own = shares[reader]
    while #own < least do own[#own + 1] = table.remove(free) end
  end
  for _, reader in ipairs(readers) do
    local own = shares[reader]
    if #own == least and #free > 0 then own[#own + 1] = table.remove(free) end
    for _, partition in ipairs(own) do plan[topic .. '/' .. partition] = reader end
  end
end

-- Who shall own what, for the members that there are now. A partition without a live owner changes hands at once, another
-- when its owner gives it up.
local function settle()
  local alive, topics = pairsOf(joined), {}
  local order = {}
  for member, value in pairs(alive) do
    local number, read = string.match(value, '^(%d+) (.*)$')
    order[#order + 1] = { tonumber(number), member }
    for topic, count in string.gmatch(read, '([^ =]+)=(%d+)') do
      topics[topic] = math.max(topics[topic] or 0, tonumber(count))
    end
  end
  table.sort(order, function(a, b) return a[1] < b[1] end)
  local before, plan = pairsOf(targets), {}
  for topic, count in pairs(topics) do
    local readers = {}
    for _, one in ipairs(order) do
      if string.find(' ' .. alive[one[2]], ' ' .. topic .. '=', 1, true) then readers[#readers + 1] = one[2] end
    end
    share(topic, count, readers, before, plan)
  end
  redis.call('DEL', targets)
  for at, member in pairs(plan) do redis.call('HSET', targets, at, member) end
  for at, owner in pairs(pairsOf(owners)) do
    if not alive[owner] or not plan[at] then redis.call('HDEL', owners, at) end
  end
  for at, member in pairs(plan) do redis.call('HSETNX', owners, at, member) end
end

local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
