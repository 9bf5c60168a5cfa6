WITH written AS (
    INSERT INTO kv (key, value, value_len, version, revision, prior, created_at, updated_at, expires_at)
    SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
    -- What comes too late writes nothing: the node stood still, and others no longer count with it.
    WHERE (extract(epoch FROM statement_timestamp()) * 1000000)::bigint <= $10::bigint
    ON CONFLICT (key) DO UPDATE SET
        value = excluded.value, value_len = excluded.value_len, version = excluded.version, revision = excluded.revision,
        prior = excluded.prior, created_at = excluded.created_at, updated_at = excluded.updated_at, expires_at = excluded.expires_at
    WHERE kv.revision = excluded.prior
    RETURNING key
)
-- Where it wrote fewer rows than were sent, it must fail, so that nothing of it lasts: there is no other way to say so in one statement.
SELECT 1 / (count(*) = $11::bigint)::int FROM written
