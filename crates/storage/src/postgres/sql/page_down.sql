SELECT key, value IS NULL, version, revision, created_at, updated_at, expires_at, value_len,
    CASE WHEN expires_at IS NULL THEN 0 ELSE (extract(epoch FROM clock_timestamp()) * 1000000)::bigint END,
    CASE WHEN value_len <= $4 THEN value END
FROM kv WHERE key >= $1 AND key < $2
ORDER BY key DESC LIMIT $3
