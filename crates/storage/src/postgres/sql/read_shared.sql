SELECT key, value IS NULL, version, revision, created_at, updated_at, expires_at, value_len,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    value
FROM kv WHERE key = $1 FOR SHARE
