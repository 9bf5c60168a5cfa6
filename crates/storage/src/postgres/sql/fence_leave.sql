DELETE FROM kv_fence_nodes WHERE node = $1
