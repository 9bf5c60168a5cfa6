INSERT INTO kv_fence_nodes (node, beats, agreed_epoch, agreed_instance) VALUES ($1, 1, $2, $3)
ON CONFLICT (node) DO UPDATE SET beats = kv_fence_nodes.beats + 1, agreed_epoch = excluded.agreed_epoch, agreed_instance = excluded.agreed_instance
