-- After a write whose outcome is known: removes its mark, and once more what it removed before. KEYS: values. ARGV: a mark for each.
for at = 1, #KEYS do
  local key = string.sub(KEYS[at], 4)
  redis.call('DEL', KEYS[at], 'kvt:' .. key)
  redis.call('ZREM', 'kvm:' .. key, ARGV[at])
end
return 1
