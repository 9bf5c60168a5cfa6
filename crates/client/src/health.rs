//! Asking a node how it is.

use serde_json::Value;

use crate::{
    Client, ClientError,
    send::{Pass, Repeat},
};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it can serve.
    pub healthy: bool,
    /// The whole document.
    pub document: Value,
}

impl Client {
    /// Asks the node how it is. A node that says it is unhealthy is an answer, not an error.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        let url = self.address.health();
        let answer = self.send(Repeat::Never, Pass::Unhealthy, || self.http.get(&url)).await?;
        let document: Value = answer.json()?;
        if document.get("status").is_none_or(|status| !status.is_string()) {
            return Err(ClientError::BadAnswer("the health document has no status".into()));
        }
        Ok(Health { healthy: answer.status == 200, document })
    }
}
