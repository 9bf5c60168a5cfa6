SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, array_agg(nextval('kv_revision'))
FROM generate_series(1, $1::bigint)
