SELECT key, revision FROM kv WHERE key = $1 FOR SHARE
