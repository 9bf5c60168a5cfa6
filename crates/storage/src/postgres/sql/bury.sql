UPDATE kv SET value = NULL, value_len = 0, version = 0, prior = kv.revision, expires_at = $3
FROM unnest($1::text[], $2::bigint[]) AS due (key, revision)
WHERE kv.key = due.key AND kv.revision = due.revision AND kv.value IS NOT NULL
