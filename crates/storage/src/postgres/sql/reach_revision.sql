SELECT setval('kv_revision', $1)
