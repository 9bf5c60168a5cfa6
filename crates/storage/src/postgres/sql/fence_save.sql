UPDATE kv_fence SET epoch = $1, is_open = $2, instance = $3 WHERE name = 'cache'
