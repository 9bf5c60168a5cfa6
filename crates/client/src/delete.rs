//! Deleting one key.

use kvstore_types::{Condition, IdempotencyKey, Key};

use crate::{
    Client, ClientError,
    put::with_conditions,
    send::{Pass, Repeat},
};

/// What goes with a delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// What must hold of the key.
    pub condition: Option<Condition>,
    /// Makes repeating safe; the client then repeats by itself, a few times.
    pub idempotency: Option<IdempotencyKey>,
}

impl Client {
    /// Deletes a key. `false` where it was absent.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::outcome`] tells whether the delete may have taken effect.
    pub async fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<bool, ClientError> {
        let url = self.address.key(key, &[]);
        let build = || with_conditions(self.http.delete(&url), options.condition, options.idempotency.as_ref());
        let answer = self.send(Repeat::of(options.idempotency.as_ref()), Pass::Absent, build).await?;
        if answer.status == 404 {
            return Ok(false);
        }
        answer.check_key(key)?;
        Ok(true)
    }
}
