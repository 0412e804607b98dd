-- Removes entries and contents of the shard up to a position, of about as many streams at most.
-- Answers the last position removed, or nil when there was none left to remove.
local function drop(through, maxStreams)
  local done, last = 0, nil
  while done < maxStreams do
    local found = redis.call('ZRANGEBYSCORE', base .. 'i', '-inf', through, 'WITHSCORES', 'LIMIT', 0, 1)
    if not found[1] then return nil end
    last = found[2]
    local streams = streamsOf(found[1])
    for i = 1, #streams do redis.call('ZREMRANGEBYSCORE', base .. 'e:' .. streams[i], '-inf', last) end
    redis.call('UNLINK', base .. 'b:' .. last)
    redis.call('ZREMRANGEBYSCORE', base .. 'k', '-inf', last)
    redis.call('ZREMRANGEBYSCORE', base .. 'i', '-inf', last)
    done = done + #streams + 1
  end
  return last
end
