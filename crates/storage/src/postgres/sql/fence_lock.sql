SELECT epoch FROM kv_fence WHERE name = 'cache' FOR UPDATE
