-- An entry, or a tombstone: a row without a value, which stays a while after its key was deleted. A tombstone keeps the revision, so
-- that revisions grow per key across deletion and creation, and so that absence can be checked at commit like any other state.
-- Times are microseconds since 1970. No index may hold a column that every update changes: updates would rewrite all indexes.
CREATE TABLE kv (
    key text COLLATE "C" PRIMARY KEY,
    value bytea,
    value_len bigint NOT NULL,
    version bigint NOT NULL,
    revision bigint NOT NULL,
    -- The revision that this state took the place of: what an upsert expects to find. 0 where it expects no row.
    prior bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    -- Of an entry: when it expires. Of a tombstone: when it may be removed.
    expires_at bigint
);
CREATE INDEX kv_expires_at ON kv (expires_at) WHERE expires_at IS NOT NULL;

CREATE SEQUENCE kv_revision AS bigint;

-- What was applied under an idempotency key.
CREATE TABLE kv_requests (
    key text COLLATE "C" PRIMARY KEY,
    record bytea NOT NULL,
    stamp bigint NOT NULL,
    prior bigint NOT NULL
);
CREATE INDEX kv_requests_stamp ON kv_requests (stamp);

CREATE TABLE kv_meta (
    name text PRIMARY KEY,
    value bigint NOT NULL
);

-- The fence of a cache in front of these tables (one row), and the nodes that count with it.
CREATE TABLE kv_fence (
    name text PRIMARY KEY,
    -- Tells these tables from others that use the same Redis.
    store bigint NOT NULL,
    epoch bigint NOT NULL,
    is_open boolean NOT NULL,
    instance text NOT NULL
);
INSERT INTO kv_fence (name, store, epoch, is_open, instance) VALUES ('cache', floor(random() * 9007199254740992)::bigint, 1, false, '');
CREATE TABLE kv_fence_nodes (
    node bigint PRIMARY KEY,
    beats bigint NOT NULL,
    agreed_epoch bigint,
    agreed_instance text
);
