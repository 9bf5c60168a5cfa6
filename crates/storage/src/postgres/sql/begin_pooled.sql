SELECT coalesce((SELECT value FROM kv_meta WHERE name = 'store_time'), 0) AS store_time, coalesce(current_setting('fsync', true), 'on') AS fsync
