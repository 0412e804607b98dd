-- Removes routes where they still belong to their owners.
-- KEYS    the routes of each connection's user; then, where they may be written here, the directory's entry of each key
-- ARGV    directoryTtlMs, then key, mid and owner of each
-- Answers 1 for each that it removed, else 0
local sessions, answer = (#ARGV - 1) / 3, {}
for i = 1, sessions do
  local key, mid, owner = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  local old = redis.call('HGET', KEYS[i], key)
  answer[i] = 0
  if old and string.match(old, '^[^\n]*') == owner then
    redis.call('HDEL', KEYS[i], key)
    answer[i] = 1
    local directory = KEYS[sessions + i]
    if directory then redis.call('SET', directory, mid, 'PX', ARGV[1]) end
  end
end
return answer
