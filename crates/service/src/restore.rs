//! Restore entries with all their metadata.

use std::sync::Arc;

use kvstore_types::{RestoreBatch, RestoreOutcome};

use crate::{Service, ServiceError};

impl Service {
    /// Restores entries as they were, all or none, into a store that has seen nothing else; see
    /// [`evaluate_restore`](kvstore_types::evaluate_restore).
    ///
    /// # Errors
    /// A value is over the limit, or the store failed.
    pub async fn restore(&self, batch: RestoreBatch) -> Result<RestoreOutcome, ServiceError> {
        for (index, item) in batch.items().iter().enumerate() {
            self.check_value(item.value.len(), Some(index))?;
        }
        Ok(self.store.restore(Arc::new(batch)).await?)
    }
}
