DELETE FROM kv_requests WHERE key = ANY(ARRAY(SELECT key FROM kv_requests WHERE stamp <= $1 ORDER BY stamp LIMIT $2)) AND stamp <= $1
