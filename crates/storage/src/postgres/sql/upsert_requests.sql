INSERT INTO kv_requests (key, record, stamp, prior)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[])
ON CONFLICT (key) DO UPDATE SET record = excluded.record, stamp = excluded.stamp, prior = excluded.prior
WHERE kv_requests.stamp = excluded.prior
