INSERT INTO kv_meta (name, value) VALUES ('store_time', $1)
ON CONFLICT (name) DO UPDATE SET value = greatest(kv_meta.value, excluded.value)
