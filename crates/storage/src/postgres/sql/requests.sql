SELECT key, record FROM kv_requests WHERE key = ANY($1)
