-- Removes entries and contents of the shard up to a position, of about as many streams at most.
-- Answers the last position removed, or nil when there was none left to remove.
local function drop(through, maxStreams)
  local done, last = 0, nil
  while done < maxStreams do
    local found = redis.call('ZRANGEBYSCORE', base .. 'i', '-inf', through, 'WITHSCORES', 'LIMIT', 0, 256)
    if not found[1] then return nil end
    -- Of many positions at once: a stream is looked at once for all that go of it.
    local names, isNamed, contents = {}, {}, {}
    local at = 1
    repeat
      last = found[at + 1]
      local streams = streamsOf(found[at])
      for i = 1, #streams do
        local stream = streams[i]
        if not isNamed[stream] then
          isNamed[stream] = true
          names[#names + 1] = stream
        end
      end
      contents[#contents + 1] = base .. 'b:' .. last
      done = done + #streams + 1
      at = at + 2
    until at > #found or done >= maxStreams
    for i = 1, #names do redis.call('ZREMRANGEBYSCORE', base .. 'e:' .. names[i], '-inf', last) end
    redis.call('UNLINK', unpack(contents))
    redis.call('ZREMRANGEBYSCORE', base .. 'k', '-inf', last)
    redis.call('ZREMRANGEBYSCORE', base .. 'i', '-inf', last)
  end
  return last
end
