-- Stores what was read, if the token of its miss still stands and no mark does. KEYS: the instance's key, the value.
-- ARGV: instance, token, seconds to live, what was read. Gives 1, 0 where it is refused, -1 in another instance.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -1
end
local key = string.sub(KEYS[2], 4)
if redis.call('GET', 'kvt:' .. key) ~= ARGV[2] or redis.call('EXISTS', 'kvm:' .. key) == 1 then
  return 0
end
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[3])
redis.call('DEL', 'kvt:' .. key)
return 1
