//! The contract that every backend keeps. The conformance suite cites these clauses by number; [`CLAUSES`] lists them for it.
//!
//! **Atomicity and order**
//! - C1. A batch is applied as a whole or not at all, for every reader and across a crash.
//! - C2. Outcomes of batches are as if they had been evaluated one at a time by [`kvstore_types::evaluate`], in an order in which
//!   a batch acknowledged before another was submitted comes first.
//! - C3. Keys are ordered by their bytes, in scans of both directions.
//!
//! **Reading**
//! - C4. A linearizable read sees every write acknowledged before it began, and no read sees part of a batch.
//! - C5. A page is one snapshot. It holds at most `limit` entries; it ends early at its byte and scan budgets; it holds at least
//!   one entry unless the range ends or the scan budget does. `next` is there exactly where the range may hold more.
//! - C6. Pages that follow each other by `next` neither skip nor repeat a key that exists throughout.
//! - C7. Start, end and prefix restrict a scan together; start and end are inclusive.
//! - C8. A header-only read gives the same header as a full read, and no value.
//! - C9. A read of many keys answers in the order of the keys, from one snapshot.
//!
//! **Conditions**
//! - C10. Conditions are decided where the write is ordered: of writers that race with the same condition at most one is applied.
//! - C11. One failed condition fails its whole batch and no other; the answer names each failed item with the entry as it is.
//!
//! **Versions and revisions**
//! - C12. The version is 1 at creation, one more at each update, and 1 again after a delete.
//! - C13. The revision is shared by a batch's items, never reused, and strictly increasing per key, across delete and re-creation.
//! - C14. Revisions and stamps go on increasing after a reopening.
//! - C15. A batch of deletes of absent keys is `Unchanged`.
//!
//! **Store time**
//! - C16. `updated_at` grows at every update, whatever the clock does; `created_at` stays until the key is deleted.
//! - C17. From the moment store time reaches `expires_at`, the key is absent to every read and every write; a put without a time
//!   to live clears an earlier expiry.
//! - C18. Reclaiming an expired entry changes nothing that a caller can see, and never removes a later entry of the same key.
//!
//! **Idempotency**
//! - C19. A repeat under the same idempotency key and the same mutations gets the first answer and changes nothing.
//! - C20. Other mutations under the same key are `IdempotencyMismatch`; only applied outcomes are remembered.
//! - C21. Records survive a reopening, count between two members of one group, and end after 24 hours of store time.
//!
//! **Durability and outcomes**
//! - C22. An applied outcome is given only after the write is durable: it survives a crash of the process and of the machine.
//! - C23. An error says whether the write was applied: `is_not_applied` is certain; `Unknown` may be either; nothing is retried.
//! - C24. Values come back byte for byte, from empty to the largest, and keys to their full length.
//! - C25. After `shutdown` writes are refused as not applied, and what was acknowledged is there after reopening.
//!
//! **Copies**
//! - C26. A checkpoint holds every write acknowledged before it was asked for, and of each batch all or nothing; it lies still while
//!   writes go on. A store that can't make one says `NotSupported`.
//!
//! **Restoring**
//! - C27. A batch of entries is restored as [`kvstore_types::evaluate_restore`] decides: exactly as they were, all or none, and only
//!   into a store whose last revision is the one expected. Revisions and stamps go on from the greatest of them. A repeat changes
//!   nothing and gets the same answer, as long as one of its entries is stored still.
//!
//! **Engines**
//! - E1. `apply` takes a group in order, as one atomic write with `meta`; a read error fails one member, a write error all.
//! - E2. `meta` values change with the group that carries them and are read back after a reopening.
//! - E3. A checkpoint opens as an engine with the same contents; `replace` swaps contents as a whole, cache included.

/// A clause's number and what it is about.
pub const CLAUSES: &[(&str, &str)] = &[
    ("C1", "batches are atomic"),
    ("C2", "outcomes are those of evaluate, in an order that respects acknowledgement"),
    ("C3", "keys are ordered by bytes"),
    ("C4", "reads see acknowledged writes and no partial batch"),
    ("C5", "a page is a bounded snapshot"),
    ("C6", "paging neither skips nor repeats"),
    ("C7", "start, end and prefix restrict together"),
    ("C8", "header-only reads agree with full reads"),
    ("C9", "a read of many keys is ordered and one snapshot"),
    ("C10", "conditions are decided where writes are ordered"),
    ("C11", "a failed condition fails its batch alone"),
    ("C12", "versions count updates of one life of a key"),
    ("C13", "revisions strictly increase per key"),
    ("C14", "revisions and stamps survive a reopening"),
    ("C15", "deleting only absent keys changes nothing"),
    ("C16", "updated_at grows whatever the clock does"),
    ("C17", "expiry hides a key from reads and writes"),
    ("C18", "reclaiming is invisible"),
    ("C19", "a repeat gets the first answer"),
    ("C20", "a mismatch is refused; only applied outcomes are remembered"),
    ("C21", "records survive, count within a group, and end"),
    ("C22", "acknowledged means durable"),
    ("C23", "errors tell what happened"),
    ("C24", "values and keys come back byte for byte"),
    ("C25", "shutdown refuses writes and loses nothing"),
    ("C26", "a checkpoint is whole and lies still"),
    ("C27", "entries are restored exactly, into a store that has seen nothing else"),
    ("E1", "a group is one atomic write"),
    ("E2", "meta changes with its group"),
    ("E3", "checkpoint and replace are whole"),
];
