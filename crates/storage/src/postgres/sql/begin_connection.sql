SELECT
    coalesce((SELECT value FROM kv_meta WHERE name = 'store_time'), 0) AS store_time,
    set_config('statement_timeout', $1, false),
    set_config('lock_timeout', $2, false),
    set_config('idle_in_transaction_session_timeout', $3, false),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
    coalesce(current_setting('fsync', true), 'on') AS fsync
