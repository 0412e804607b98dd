-- Takes a batch in. Nothing is written before everything is checked, and applied is written last. (Redis refuses the
-- first write of a script when it is out of memory or read-only, never a later one.)
-- ARGV    epoch, before, through, how long a newest position is kept in ms, then for each push:
--         position, id or '', digest, until when the id is known, the content, 1 when it is inline else 0, number of
--         targets, then stream, own part and collapse id (or '') of each target
-- Answers {'empty'} · {'behind', applied} · {'appended', applied before, prev of each entry in order,
--         {position, 1 when the digest is another else 0}… of known ids, {stream, newest}… of pushes applied before}
local state = redis.call('HMGET', KEYS[1], 'epoch', 'applied', 'trimmed', 'life', 'restored')
if state[1] ~= ARGV[1] then return { 'empty' } end
local applied, trimmed, life = tonumber(state[2]), tonumber(state[3]), state[4]
local before, through = tonumber(ARGV[2]), tonumber(ARGV[3])
if applied < before then return { 'behind', state[2] } end

local now = nowMs()
local newest, prevs, repeated, known, named = {}, {}, {}, {}, {}
local at = 5
while at <= #ARGV do
  local position, id, digest, content = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 4]
  local untilMs, inline = tonumber(ARGV[at + 3]), ARGV[at + 5] == '1'
  local first = at + 7
  at = first + 3 * tonumber(ARGV[at + 6])
  local here = tonumber(position)
  local knownAt, knownDigest
  if here > applied and id ~= '' then
    local value = redis.call('GET', base .. 'd:' .. id)
    if value then knownAt, knownDigest = string.match(value, '^(%d+):(.*)$') end
  end
  if here <= applied then
    for i = first, at - 1, 3 do
      local stream = ARGV[i]
      local last = not named[stream] and toldOf(stream, life, state[5])
      named[stream] = true
      if last then known[#known + 1] = { stream, last } end
    end
  elseif knownAt and knownAt ~= position then
    -- The same position is the same push: it was taken in before the shard was lost.
    repeated[#repeated + 1] = { position, knownDigest == digest and 0 or 1 }
  else
    local index = { position, ':' }
    for i = first, at - 1, 3 do
      local stream = ARGV[i]
      local prev = text(newest[stream] or newestOf(stream, life) or trimmed)
      newest[stream] = here
      redis.call('ZADD', base .. 'e:' .. stream, position,
        position .. ':' .. prev .. ':' .. ARGV[i + 1] .. (inline and content or ''))
      if ARGV[i + 2] ~= '' then redis.call('ZADD', base .. 'k', position, ARGV[i + 2] .. stream) end
      prevs[#prevs + 1] = prev
      index[#index + 1] = #stream .. ':' .. stream
    end
    if #index > 2 then
      redis.call('ZADD', base .. 'i', position, table.concat(index))
      if not inline then redis.call('SET', base .. 'b:' .. position, content) end
    end
    if id ~= '' and untilMs > now then
      redis.call('SET', base .. 'd:' .. id, position .. ':' .. digest, 'PX', text(untilMs - now))
    end
  end
end
for stream, position in pairs(newest) do
  redis.call('SET', base .. 'n:' .. stream, text(position) .. ':' .. life, 'PX', ARGV[4])
end
if through > applied then redis.call('HSET', KEYS[1], 'applied', ARGV[3]) end
return { 'appended', state[2], prevs, repeated, known }
