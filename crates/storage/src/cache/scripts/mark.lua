-- Before a write: removes what is cached of its keys, and the tokens of fills under way, and sets its mark.
-- KEYS: the instance's key, values. ARGV: instance, mark, its time to live in ms, the Redis time in ms after which it comes too late.
-- Gives 1, 0 where it comes too late, -1 in another instance. Removing comes first: after a script's first change Redis
-- gives it memory beyond its limit.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -1
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[4]) then
  return 0
end
local ttl = tonumber(ARGV[3])
for at = 2, #KEYS do
  local key = string.sub(KEYS[at], 4)
  local marks = 'kvm:' .. key
  redis.call('DEL', KEYS[at], 'kvt:' .. key)
  redis.call('ZREMRANGEBYSCORE', marks, '-inf', now)
  redis.call('ZADD', marks, now + ttl, ARGV[2])
  redis.call('PEXPIRE', marks, ttl)
end
return 1
