-- What is packed, appended to the stream of each push's user, and the user's newest position.
-- KEYS[1] begins every key; ARGV: the packed pushes, the position of the first.
local prefix, bytes, position, at = KEYS[1], ARGV[1], tonumber(ARGV[2]), 1
while at <= #bytes do
  local mid, _, length = struct.unpack('>dI4I4', bytes, at)
  local user = string.format('%.0f', mid)
  redis.call('ZADD', prefix .. 's' .. user, position, bytes:sub(at + 16, at + 15 + length))
  redis.call('SET', prefix .. 'n' .. user, position)
  position = position + 1
  at = at + 16 + length
end
return position
