-- The fence of a cache before these tables, one row, and a row for each node that writes. Whoever changes either locks the fence's row
-- first. `store` tells this database from every other.
CREATE TABLE kv_fence (
    id bigint PRIMARY KEY,
    store bigint NOT NULL,
    epoch bigint NOT NULL,
    is_open boolean NOT NULL,
    instance text NOT NULL
);
INSERT INTO kv_fence (id, store, epoch, is_open, instance) VALUES (1, (random() * 9007199254740991)::bigint, 1, false, '');

CREATE TABLE kv_fence_nodes (
    node bigint PRIMARY KEY,
    beats bigint NOT NULL,
    agreed_epoch bigint,
    agreed_instance text
);
