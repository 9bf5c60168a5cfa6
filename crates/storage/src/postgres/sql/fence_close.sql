UPDATE kv_fence SET epoch = epoch + 1, is_open = false WHERE id = 1
