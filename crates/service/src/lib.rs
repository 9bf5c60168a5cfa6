//! The service tier: the operations of kvstore, a file each. It holds what every door must enforce (limits, the byte budget,
//! shutting down), and knows neither HTTP nor SQL.

mod backup;
mod batch_put;
mod delete_value;
mod error;
mod health;
mod nodes;
mod put_value;
mod read_many;
mod read_range;
mod read_value;
mod restore;
mod service;

pub use backup::BackupAnswer;
pub use batch_put::{BatchAnswer, BatchPut};
pub use delete_value::{DeleteAnswer, DeleteValue};
pub use error::ServiceError;
pub use health::Health;
pub use kvstore_storage::{Budget, Reservation, State, Status, Store, StoreError};
pub use nodes::{NodeState, OtherNodes};
pub use put_value::{PutAnswer, PutValue};
pub use read_many::ManyAnswer;
pub use read_range::RangeAnswer;
pub use read_value::ReadAnswer;
pub use service::{Limits, Service};
