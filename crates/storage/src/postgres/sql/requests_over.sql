-- From the newest on, records are kept up to a number of bytes: the newest stamp that is past it. Bytes as the embedded store counts them.
SELECT max(stamp) FROM (
    SELECT stamp, sum(octet_length(record) + 2 * octet_length(key) + 10) OVER (ORDER BY stamp DESC, key) AS bytes FROM kv_requests
) AS kept WHERE bytes > $1::bigint
