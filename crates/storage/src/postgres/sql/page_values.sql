SELECT key, value FROM kv WHERE key = ANY($1)
