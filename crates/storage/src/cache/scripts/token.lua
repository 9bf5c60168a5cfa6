-- At a miss: the right to fill, unless a mark stands or another has it. KEYS: the instance's key, the value.
-- ARGV: instance, token, its time to live in ms. Gives 1, 0 where it is refused, -1 in another instance.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -1
end
local key = string.sub(KEYS[2], 4)
local marks = 'kvm:' .. key
if redis.call('EXISTS', marks) == 1 then
  local time = redis.call('TIME')
  redis.call('ZREMRANGEBYSCORE', marks, '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
  if redis.call('EXISTS', marks) == 1 then
    return 0
  end
end
if redis.call('SET', 'kvt:' .. key, ARGV[2], 'NX', 'PX', ARGV[3]) then
  return 1
end
return 0
