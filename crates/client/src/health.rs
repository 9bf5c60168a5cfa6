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

/// What a node answers to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it can serve.
    pub ready: bool,
    /// Its word for how it is, such as `ready` or `unreachable`.
    pub state: String,
}

impl Client {
    /// Asks the node whether it can serve. It is the question of a load balancer: cheaper than [`Client::health`], and without a token.
    /// A node that says no is an answer, not an error.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn readiness(&self) -> Result<Readiness, ClientError> {
        let url = self.address.ready();
        let answer = self.send(Repeat::Never, Pass::Unready, || self.http.get(&url)).await?;
        let state = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
        let is_word = !state.is_empty() && state.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_word {
            return Err(ClientError::BadAnswer("what it says of its state is no word of a kvstore".into()));
        }
        Ok(Readiness { ready: answer.status == 200, state: state.to_owned() })
    }

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
