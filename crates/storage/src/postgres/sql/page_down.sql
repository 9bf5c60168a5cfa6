SELECT key, value IS NULL, version, revision, created_at, updated_at, expires_at, value_len
FROM kv WHERE key > $1 AND key >= $2 AND key <= $3 AND key < $4
ORDER BY key DESC LIMIT $5
