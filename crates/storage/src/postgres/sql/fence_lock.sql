SELECT epoch FROM kv_fence WHERE id = 1 FOR UPDATE
