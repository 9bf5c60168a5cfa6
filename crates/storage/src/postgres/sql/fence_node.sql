INSERT INTO kv_fence_nodes (node, beats, agreed_epoch, agreed_instance) VALUES ($1, $2, $3, $4)
ON CONFLICT (node) DO UPDATE SET beats = excluded.beats, agreed_epoch = excluded.agreed_epoch, agreed_instance = excluded.agreed_instance
