UPDATE kv_fence SET epoch = epoch + 1, is_open = true, instance = $2
WHERE id = 1 AND NOT is_open AND epoch = $1 AND NOT EXISTS (
    SELECT 1 FROM kv_fence_nodes WHERE agreed_epoch IS DISTINCT FROM $1 OR agreed_instance IS DISTINCT FROM $2
)
