//! Read a page of a key range.

use kvstore_storage::Reservation;
use kvstore_types::{Consistency, Page, Scan};

use crate::{Service, ServiceError, read_many::weight};

/// A page.
#[derive(Debug)]
pub struct RangeAnswer {
    /// The page; its `applied` is what a stale answer reports.
    pub page: Page,
    /// The page's share of the budget; to be kept until it is sent.
    pub reservation: Reservation,
}

impl Service {
    /// Reads one page.
    ///
    /// # Errors
    /// No memory is left for the page, or the store failed.
    pub async fn read_range(&self, scan: &Scan, consistency: Consistency) -> Result<RangeAnswer, ServiceError> {
        let page = self.store.scan(scan, consistency).await?;
        let reservation = self.reserve(weight(page.entries.iter()) as u64)?;
        Ok(RangeAnswer { page, reservation })
    }
}
