SELECT store, epoch, is_open, instance, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM kv_fence WHERE id = 1
