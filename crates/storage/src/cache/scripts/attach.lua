-- Gives this Redis's instance: its run, and a part that is lost when its data is. KEYS: the instance's key. ARGV: run, new part.
local run = ARGV[1] .. ':'
local instance = redis.call('GET', KEYS[1])
if not instance or string.sub(instance, 1, #run) ~= run then
  instance = run .. ARGV[2]
end
-- Redis refuses what needs memory only before the first change of a script.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], instance)
return instance
