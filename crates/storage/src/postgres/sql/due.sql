SELECT key, revision, value IS NULL FROM kv WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
