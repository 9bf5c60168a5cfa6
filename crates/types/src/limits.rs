//! Every limit of kvstore, on one screen. A limit that a setting can change stands here with its default.

/// Characters (Unicode scalar values) in a key, at most.
pub const KEY_CHARS_MAX: usize = 255;
/// Bytes of a value, at most, unless `max_value_bytes` says otherwise.
pub const VALUE_BYTES_MAX_DEFAULT: usize = 16 << 20;
/// Bytes of a request body, at most, unless `max_body_bytes` says otherwise.
pub const BODY_BYTES_MAX_DEFAULT: usize = 64 << 20;
/// How often a body is held, at most, while it is in flight: its share of the memory budget.
pub const BODY_COPIES: u64 = 2;
/// What an item of a batch takes in memory beside its key and value, about: in the batch, the group's tables and the answer.
pub const ITEM_OVERHEAD_BYTES: usize = 256;
/// Items in one batch.
pub const BATCH_ITEMS_MAX: usize = 10_000;
/// Keys in one read of many keys.
pub const READ_KEYS_MAX: usize = 1_000;
/// Entries in one page; a larger `limit` counts as this.
pub const PAGE_ENTRIES_MAX: usize = 10_000;
/// A page ends once its values reach this many bytes.
pub const PAGE_BYTES_MAX: usize = 16 << 20;
/// Records that one page may examine, expired ones included.
pub const SCAN_RECORDS_MAX: usize = 100_000;
/// Records of one page whose blocks are kept in the cache: a longer page is part of a walk through the data, mostly.
pub const SCAN_CACHED_RECORDS_MAX: usize = 1_000;
/// Time that one page may spend on examining records.
pub const SCAN_TIME_MS_MAX: u64 = 100;
/// The longest time to live: ten years of 365 days.
pub const TTL_SECONDS_MAX: u64 = 315_360_000;

/// Characters in an idempotency key.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// How long an idempotency record is kept, in store time.
pub const IDEMPOTENCY_KEPT_SECONDS: u64 = 24 * 60 * 60;
/// Bytes of idempotency records that are kept; the oldest go first.
pub const IDEMPOTENCY_BYTES_MAX: u64 = 1 << 30;

/// A commit group ends at this many bytes of keys and values, or at one batch that is larger.
pub const GROUP_BYTES_MAX: usize = 8 << 20;
/// Batches in one commit group.
pub const GROUP_BATCHES_MAX: usize = 4_096;
/// Batches that may wait for the committer.
pub const QUEUE_BATCHES_MAX: usize = 16_384;
/// How long a batch may wait for the committer before it is withdrawn (answered "not applied").
pub const QUEUE_WAIT_MS_MAX: u64 = 5_000;
/// How long a batch that the committer took may take before its outcome is reported as unknown.
pub const COMMIT_WAIT_MS_MAX: u64 = 30_000;
/// Values above this many bytes are kept apart from their key's record.
pub const INLINE_VALUE_BYTES_MAX: usize = 4 << 10;
/// Slots of the table in which the committer finds whether a key changed since its header was loaded, 8 bytes each. Batches that wait
/// with tens of thousands of keys leave most slots free.
pub const RECENT_CHANGE_SLOTS: usize = 1 << 19;
/// Expired entries that one reclaiming batch deletes.
pub const RECLAIM_ITEMS_MAX: usize = 1_000;
/// Below this much free disk space, writes other than deletes are refused.
pub const FREE_SPACE_FLOOR_BYTES_DEFAULT: u64 = 256 << 20;
/// Revisions that a store leaves out when it is first opened after a restore: more than the original gives in half a year of
/// 50,000 batches a second.
pub const RESTORED_REVISIONS_SKIPPED: u64 = 1_000_000_000_000;
/// Entries that one look-up in memory, on an async worker, may take; more are read by a thread of their own.
pub const NEAR_ENTRIES_MAX: usize = 128;
/// Threads that read single keys from disk.
pub const READ_THREADS: usize = 16;
/// Threads that read pages, or many keys, from disk; each may hold a page in memory.
pub const SCAN_THREADS: usize = 8;
/// Reads that may wait for such a thread.
pub const READ_QUEUE_MAX: usize = 4_096;
/// How long a read may take, its wait for a thread included.
pub const READ_WAIT_MS_MAX: u64 = 30_000;
/// How often expired entries are looked for.
pub const RECLAIM_INTERVAL_MS: u64 = 1_000;

/// Connections to the database that one node holds, unless a setting says otherwise.
pub const DATABASE_CONNECTIONS_MAX_DEFAULT: usize = 16;
/// How long a request waits for one of them.
pub const DATABASE_POOL_WAIT_MS_MAX: u64 = 5_000;
/// How long connecting to the database may take, waiting for another node's migration included.
pub const DATABASE_CONNECT_MS_MAX: u64 = 10_000;
/// How long a connection to the database is kept.
pub const DATABASE_CONNECTION_SECONDS_MAX: u64 = 600;
/// How long the database works on one statement.
pub const DATABASE_STATEMENT_MS_MAX: u64 = 30_000;
/// How long a statement waits for a row that another transaction holds.
pub const DATABASE_LOCK_MS_MAX: u64 = 1_000;
/// How long the database keeps a transaction whose client says nothing.
pub const DATABASE_IDLE_MS_MAX: u64 = 5_000;
/// How long a node waits, behind a pooler, for another one that changes the tables.
pub const DATABASE_MIGRATION_WAIT_MS_MAX: u64 = 60_000;
/// How often it looks.
pub const DATABASE_MIGRATION_LOOK_MS: u64 = 100;
/// How long a node waits for the database before it closes the connection. Before a commit that is certain: nothing was applied.
pub const DATABASE_ANSWER_MS_MAX: u64 = 15_000;
/// Groups of writes that are under way at one time; they share no key.
pub const DATABASE_GROUPS_MAX: usize = 4;
/// Of these, groups of small batches alone. With fewer of them more writes share a commit.
pub const DATABASE_LIGHT_GROUPS_MAX: usize = 2;
/// Items of a batch that is small.
pub const DATABASE_LIGHT_ITEMS_MAX: usize = 100;
/// Queued batches that are looked through for a group, past those that must wait for a key.
pub const DATABASE_QUEUE_LOOK_MAX: usize = 4_096;
/// Rows that one statement writes.
pub const DATABASE_STATEMENT_ROWS_MAX: usize = 1_000;
/// Reads of single keys that are answered by one statement.
pub const DATABASE_READ_GROUP_MAX: usize = 64;
/// Such statements that are under way at one time.
pub const DATABASE_READ_GROUPS_MAX: usize = 8;
/// Values up to this many bytes are read together with others; a larger one is read alone.
pub const DATABASE_SMALL_VALUE_BYTES: u64 = 64 << 10;
/// Times that a group, or a read, is tried where others change what it rests on.
pub const DATABASE_ATTEMPTS_MAX: u32 = 3;
/// The same for a batch that is written alone.
pub const DATABASE_LONE_ATTEMPTS_MAX: u32 = 20;
/// How long a write is tried, its wait in the queue included. After that it is not written any more, whoever waits for it.
pub const DATABASE_WRITE_MS_MAX: u64 = 20_000;
/// How long after the snapshot that it rests on a write may reach the database, by the database's clock. A node that stood still in
/// between does not write what others no longer count with. As long as an answer is waited for: a large group takes its time.
pub const DATABASE_ARRIVAL_MS_MAX: u64 = DATABASE_ANSWER_MS_MAX;
/// How long a stopping node waits for writes that are under way once nobody waits for their answers.
pub const DATABASE_CLOSE_MS_MAX: u64 = 5_000;
/// How long a deleted key's row stays: longer than any transaction can last that read the key before.
pub const TOMBSTONE_SECONDS: u64 = 600;
/// Entries that have just expired, and are confirmed to be untouched, in one page.
pub const PAGE_CONFIRMATIONS_MAX: usize = 1_000;

/// The memory budget when no setting gives one, in MiB.
pub const MEMORY_MB_DEFAULT: u64 = 512;
/// The smallest memory budget that is accepted, in MiB.
pub const MEMORY_MB_MIN: u64 = 64;
/// A wall clock that jumps further than this while running is reported, not adopted.
pub const CLOCK_JUMP_SECONDS_MAX: u64 = 3_600;

/// Connections held at one time.
pub const CONNECTIONS_MAX_DEFAULT: usize = 10_000;
/// KV requests served at one time; more are refused at once, before their bodies are read.
pub const REQUESTS_MAX_DEFAULT: usize = 4_096;
/// Time for the head of a request to arrive; also how long an idle connection is kept.
pub const HEADER_TIMEOUT_MS_DEFAULT: u64 = 30_000;
/// Time between two pieces of a body.
pub const BODY_IDLE_TIMEOUT_MS_DEFAULT: u64 = 15_000;
/// Time for a whole body.
pub const BODY_TIMEOUT_MS_DEFAULT: u64 = 120_000;
/// Time for one write of an answer to make progress.
pub const SEND_TIMEOUT_MS_DEFAULT: u64 = 30_000;
/// Bytes of the head of a request.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// Header fields of a request.
pub const HEADERS_MAX: usize = 64;
/// How long a shutdown waits for requests that are under way.
pub const DRAIN_MS_MAX_DEFAULT: u64 = 10_000;
/// How long making the copy for a backup may take.
pub const CHECKPOINT_WAIT_MS_MAX: u64 = 300_000;
/// Bytes of one piece of a backup on its way to the client.
pub const BACKUP_PIECE_BYTES: usize = 256 << 10;
/// Pieces of a backup that are read ahead of the client.
pub const BACKUP_PIECES_MAX: usize = 4;
/// How fast a backup is sent unless the client asks for another rate, in MiB per second: writers must not feel it.
pub const BACKUP_RATE_MB_DEFAULT: u64 = 64;
/// The highest rate that can be asked for.
pub const BACKUP_RATE_MB_MAX: u64 = 1_000_000;
/// Files in one backup.
pub const BACKUP_FILES_MAX: usize = 1_000_000;
/// Bytes of a backup's list of files, and of its list of checksums.
pub const BACKUP_LIST_BYTES_MAX: u64 = 256 << 20;
/// Nesting of a JSON body.
pub const JSON_DEPTH_MAX: usize = 128;
/// Errors listed in one problem document; the rest are counted.
pub const PROBLEM_ERRORS_MAX: usize = 100;

/// Bytes of an answer that the client takes in: a page of escaped values with one value over its end fits.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 1 << 30;
/// An answer to a probe: a problem document at most, where another server answers.
pub const CLIENT_PROBE_BYTES_MAX: usize = 4 << 10;
/// Times that the client sends one write that has an idempotency key.
pub const CLIENT_ATTEMPTS_MAX: u32 = 5;
/// The longest wait of the client between two attempts, whatever `Retry-After` says.
pub const CLIENT_RETRY_WAIT_MS_MAX: u64 = 10_000;
/// How long the client waits for a connection.
pub const CLIENT_CONNECT_MS_MAX: u64 = 5_000;
/// How long the client waits for the next piece of an answer, unless it is told otherwise: longer than a write can stay undecided at the server.
pub const CLIENT_READ_MS_MAX: u64 = 60_000;
/// How long the client keeps an idle connection: less than the server does, so that a request seldom meets a closed one.
pub const CLIENT_IDLE_MS_MAX: u64 = 15_000;

/// Bytes of a line of an import: what becomes of it must fit into the body of a request.
pub const IMPORT_LINE_BYTES_MAX: usize = BODY_BYTES_MAX_DEFAULT;
/// Items of a batch of an import.
pub const IMPORT_BATCH_ITEMS_MAX: usize = 1_000;
/// Bytes of the items of a batch of an import, unless one item alone has more.
pub const IMPORT_BATCH_BYTES_MAX: usize = 1 << 20;
/// Batches of an import that are under way at one time.
pub const IMPORT_BATCHES_UNDER_WAY_MAX: usize = 4;
/// Wrong lines that an import shows; the rest are counted.
pub const IMPORT_FAULTS_SHOWN_MAX: u64 = 20;
/// About how many bytes an export asks for at one time.
pub const EXPORT_PAGE_BYTES: usize = 4 << 20;
/// How long a transfer waits for a server that went away, unless `--retry-for` says otherwise.
pub const TRANSFER_RETRY_SECONDS_DEFAULT: u64 = 120;
/// The first wait of a transfer before a request is sent again; it doubles at each attempt.
pub const TRANSFER_RETRY_WAIT_MS_MIN: u64 = 200;
/// The longest such wait.
pub const TRANSFER_RETRY_WAIT_MS_MAX: u64 = 5_000;

/// How long a cached entry is kept.
pub const CACHE_ENTRY_SECONDS: u64 = 300;
/// Bytes of a value that is cached, at most: a larger one would hold up the connection that all requests share.
pub const CACHE_VALUE_BYTES_MAX: usize = 1 << 20;
/// How long an answer of Redis is waited for; then the cache is off until it answers again.
pub const CACHE_ANSWER_MS_MAX: u64 = 250;
/// The first wait before Redis is tried again; it doubles.
pub const CACHE_RETRY_MS_MIN: u64 = 50;
/// The longest such wait.
pub const CACHE_RETRY_MS_MAX: u64 = 1_000;
/// How often Redis is asked how it is.
pub const CACHE_PING_MS: u64 = 1_000;
/// Fills and evictions that may wait for their turn.
pub const CACHE_CHORES_MAX: usize = 4_096;
/// Bytes of values that may wait to be filled in.
pub const CACHE_CHORE_BYTES_MAX: usize = 16 << 20;
/// Chores that are sent together.
pub const CACHE_CHORES_TOGETHER: usize = 128;
/// Keys whose revisions one query checks.
pub const CACHE_CHECK_KEYS_MAX: usize = 1_000;
/// Such queries under way at one time.
pub const CACHE_CHECKS_MAX: usize = 4;
/// Keys that one script marks.
pub const CACHE_MARK_KEYS_MAX: usize = 500;
/// How long what was read of the fence counts.
pub const CACHE_LEASE_MS: u64 = 1_000;
/// What is waited beyond a lease.
pub const CACHE_LEASE_MARGIN_MS: u64 = 100;
/// What is added to the authority's time when a cached expiry is compared with it.
pub const CACHE_CLOCK_MARGIN_MS: u64 = 50;
/// How long a mark stands that nobody removes: longer than any transaction can last.
pub const CACHE_MARK_SECONDS: u64 = 600;
/// How long a fill may take, from its miss on.
pub const CACHE_TOKEN_MS: u64 = 3_000;
/// How often the fence is looked at.
pub const CACHE_LOOK_MS: u64 = 300;
/// How old a node's last beat may be when it writes without asking the authority first.
pub const CACHE_LAPSE_MS: u64 = 10_000;
/// How long a node's beats must stand still before another node removes it. By then none of its writes can take effect any more: one may
/// begin within twice `CACHE_LAPSE_MS`, is tried for `DATABASE_WRITE_MS_MAX`, must arrive within `DATABASE_ARRIVAL_MS_MAX`, runs for
/// `DATABASE_STATEMENT_MS_MAX` at most, and waits for its COMMIT for `DATABASE_IDLE_MS_MAX`.
pub const CACHE_REMOVAL_MS: u64 = 100_000;
/// Keys of writes whose outcome is not known, which a node remembers; past this number it remembers how long it must not agree.
pub const CACHE_UNRESOLVED_KEYS_MAX: usize = 200_000;
/// The same of these writes.
pub const CACHE_UNRESOLVED_WRITES_MAX: usize = 10_000;
/// One hit in this many is compared with the authority.
pub const CACHE_COMPARE_ONE_IN: u64 = 1_000;
/// Above this part of Redis's memory limit, in percent, nothing is filled in, so that marks still find room.
pub const CACHE_MEMORY_PERCENT_MAX: u64 = 90;
/// How long a turn at the fence may take.
pub const CACHE_FENCE_TURN_MS_MAX: u64 = 5_000;
/// How long the fence may be closed, with Redis there, before the log tells.
pub const CACHE_STUCK_MS: u64 = 10_000;
/// How long the fence stays closed at least, once it was not open for long; it doubles.
pub const CACHE_PATIENCE_MS_MIN: u64 = 500;
/// The longest such time, and the time after which it counts as having been open for long.
pub const CACHE_PATIENCE_MS_MAX: u64 = 30_000;

/// Other nodes that health tells of.
pub const OTHER_NODES_MAX: usize = 64;
/// How often another node is asked whether it can serve.
pub const OTHER_NODE_ASK_MS: u64 = 2_000;
/// How long its answer is waited for.
pub const OTHER_NODE_ANSWER_MS_MAX: u64 = 1_000;
