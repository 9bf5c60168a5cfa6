SELECT f.store, f.epoch, f.is_open, f.instance, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    n.node, n.beats, n.agreed_epoch, n.agreed_instance
FROM kv_fence f LEFT JOIN kv_fence_nodes n ON true WHERE f.name = 'cache'
