-- Gives this Redis's instance: its run, and a part that is lost when its data is. KEYS: the instance's key. ARGV: run, new part.
local run = ARGV[1] .. ':'
local instance = redis.call('GET', KEYS[1])
if instance and string.sub(instance, 1, #run) == run then
  return instance
end
redis.call('SET', KEYS[1], run .. ARGV[2])
return run .. ARGV[2]
