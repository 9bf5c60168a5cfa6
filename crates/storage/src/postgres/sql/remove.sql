DELETE FROM kv USING unnest($1::text[], $2::bigint[]) AS due (key, revision)
WHERE kv.key = due.key AND kv.revision = due.revision AND kv.value IS NULL AND kv.expires_at <= $3
