SELECT node, beats, agreed_epoch, agreed_instance FROM kv_fence_nodes ORDER BY node
