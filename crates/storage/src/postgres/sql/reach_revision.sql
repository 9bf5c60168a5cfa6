-- Never back: a writer may have drawn since, and what it drew must not be drawn again.
SELECT setval('kv_revision', greatest($1::bigint, last_value)) FROM kv_revision
