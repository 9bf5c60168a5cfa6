SELECT key, revision FROM kv WHERE key = ANY($1) ORDER BY key FOR SHARE
