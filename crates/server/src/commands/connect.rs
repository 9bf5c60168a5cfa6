//! The server that a verb talks to, and what to tell the user when it does not answer as hoped.

use std::future::Future;

use anyhow::Context;
use clap::Args;
use kvstore_client::{Client, ClientError, WriteOutcome};
use kvstore_types::{IdempotencyKey, Key};

use crate::{exit::Exit, told::Told};

/// Which server, and as whom.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// The server's URL
    #[arg(long, env = "KVSTORE_URL", value_name = "URL", default_value = "http://127.0.0.1:8000")]
    url: String,

    /// The server's token
    #[arg(long, env = "KVSTORE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
}

impl Server {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        Client::new(&self.url, token).map_err(explain)
    }
}

/// Reads nothing, so that a server that is not there, or does not let us in, is said so before a long work begins.
pub(super) async fn check(client: &Client) -> anyhow::Result<()> {
    client.read_many(&[]).await.map(drop).map_err(explain)
}

/// A key from the command line.
pub(super) fn parse_key(text: &str) -> Result<Key, String> {
    Key::new(text).map_err(|error| error.to_string())
}

/// An idempotency key from the command line.
pub(super) fn parse_idempotency_key(text: &str) -> Result<IdempotencyKey, String> {
    IdempotencyKey::new(text).map_err(|error| error.to_string())
}

/// Runs a verb: one request after the other, on this thread.
pub(super) fn block_on(verb: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime can't be started")?.block_on(verb)
}

/// Runs a verb that keeps many requests under way. Half of the processors are left to others: a server may run here too.
pub(super) fn block_on_many(verb: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let threads = std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().context("the runtime can't be started")?.block_on(verb)
}

/// An error with what to do next.
pub(super) fn explain(error: ClientError) -> anyhow::Error {
    Told::of(&error, format!("{:#}", advised(&error)))
}

fn advised(error: &ClientError) -> anyhow::Error {
    let advice = match (error, error.status()) {
        (ClientError::Connect { .. }, _) => "start one with `kvstore serve`, or name another with --url or KVSTORE_URL",
        (_, Some(401 | 403)) => "give the server's token in KVSTORE_TOKEN",
        (ClientError::ConditionFailed { .. }, _) => "read the key again, and decide anew",
        (_, Some(422)) => "use another --idempotency-key for another write",
        (_, Some(507)) => "make room on the server's disk, or delete keys",
        (_, Some(421)) => "use a URL that the server knows, or add its name to the server's KVSTORE_ALLOWED_HOSTS",
        (_, Some(429 | 503)) => "try again in a moment",
        (ClientError::Failed { .. }, _) => "look for the request in the server's log",
        _ => return anyhow::Error::msg(error.to_string()),
    };
    // A sentence of the server's goes on here.
    anyhow::anyhow!("{}; {advice}", error.to_string().trim_end_matches('.'))
}

/// The same for a write, where the user also has to know what became of it.
pub(super) fn explain_write(error: ClientError) -> anyhow::Error {
    let outcome = error.outcome();
    let explained = explain(error);
    match outcome {
        WriteOutcome::NotApplied => explained,
        WriteOutcome::Unknown => {
            let text = format!("{explained:#}; the write may have taken effect: read before you repeat it");
            Told::again(&explained, text)
        }
    }
}
