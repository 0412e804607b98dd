-- What all scripts of a partition begin with.
local function text(number) return string.format('%.0f', number) end

local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Names this life of this server's data: it changes when the server starts again and when a replica takes over. Either
-- may have cost the newest records.
local function lifeOfServer()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
  return run .. (string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '')
end
