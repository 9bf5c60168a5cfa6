SELECT key, value IS NULL, version, revision, created_at, updated_at, expires_at, value_len
FROM kv WHERE key = ANY($1)
