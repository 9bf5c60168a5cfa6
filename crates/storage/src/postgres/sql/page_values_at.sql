SELECT kv.key, kv.value
FROM unnest($1::text[], $2::bigint[]) AS seen (key, revision) JOIN kv ON kv.key = seen.key AND kv.revision = seen.revision
