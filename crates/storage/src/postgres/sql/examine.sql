SELECT
    current_setting('server_version') AS server_version,
    current_setting('server_version_num')::bigint AS server_number,
    current_user::text AS role,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
    current_setting('max_connections')::bigint AS connections_max,
    current_setting('superuser_reserved_connections')::bigint AS connections_reserved,
    (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_stat_database) AS connections_used,
    current_setting('synchronous_commit') AS synchronous_commit,
    coalesce(current_setting('fsync', true), 'on') AS fsync,
    coalesce(current_setting('full_page_writes', true), 'on') AS full_page_writes,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    ARRAY(
        SELECT needed.privilege || ' on ' || needed.name
        FROM (VALUES
            ('kv', 'SELECT'), ('kv', 'INSERT'), ('kv', 'UPDATE'), ('kv', 'DELETE'),
            ('kv_requests', 'SELECT'), ('kv_requests', 'INSERT'), ('kv_requests', 'UPDATE'), ('kv_requests', 'DELETE'),
            ('kv_meta', 'SELECT'), ('kv_meta', 'INSERT'), ('kv_meta', 'UPDATE'),
            ('kv_fence', 'SELECT'), ('kv_fence', 'UPDATE'),
            ('kv_fence_nodes', 'SELECT'), ('kv_fence_nodes', 'INSERT'), ('kv_fence_nodes', 'UPDATE'), ('kv_fence_nodes', 'DELETE'),
            ('refinery_schema_history', 'SELECT')
        ) AS needed (name, privilege)
        WHERE CASE WHEN to_regclass(needed.name) IS NULL THEN false ELSE NOT has_table_privilege(needed.name, needed.privilege) END
        UNION ALL
        SELECT needed.privilege || ' on kv_revision'
        FROM (VALUES ('USAGE'), ('SELECT'), ('UPDATE')) AS needed (privilege)
        WHERE CASE WHEN to_regclass('kv_revision') IS NULL THEN false ELSE NOT has_sequence_privilege('kv_revision', needed.privilege) END
    ) AS missing
