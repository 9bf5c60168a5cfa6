//! The server that a verb talks to, and what to tell the user when it does not answer as hoped.

use std::{future::Future, time::Duration};

use anyhow::Context;
use clap::Args;
use kvstore_client::{Client, ClientError, WriteOutcome};
use kvstore_types::{IdempotencyKey, Key, limits};

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

    /// Give up on a request when the server has been silent for so long
    #[arg(long, value_name = "SECONDS", default_value_t = limits::CLIENT_READ_MS_MAX / 1_000, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

impl Server {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        Client::with_timeout(&self.url, token, Duration::from_secs(self.timeout)).map_err(explain)
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
    Told::of(&error, advised(&error))
}

fn advised(error: &ClientError) -> String {
    let said = error.to_string();
    let Some(advice) = advice(error) else { return said };
    // A sentence of the server's goes on here; a list of faults does not.
    let between = if said.contains('\n') { "\n" } else { "; " };
    format!("{}{between}{advice}", said.trim_end_matches('.'))
}

/// What to do next, where the error does not say so itself.
fn advice(error: &ClientError) -> Option<&'static str> {
    match error {
        // Each says how to write it.
        ClientError::Address(_) => None,
        ClientError::Connect { .. } => Some("start one with `kvstore serve`, or name another with --url or KVSTORE_URL"),
        ClientError::Interrupted { .. } => Some("ask how the server is with `kvstore health`, or give it more time with --timeout"),
        ClientError::ConditionFailed { .. } => Some("read the key again, and decide anew"),
        ClientError::BadAnswer(_) => Some("name a kvstore with --url or KVSTORE_URL"),
        ClientError::Refused { problem } | ClientError::Failed { problem, .. } => Some(advice_by_status(problem.status)),
    }
}

const fn advice_by_status(status: u16) -> &'static str {
    match status {
        401 | 403 => "give the server's token in KVSTORE_TOKEN",
        404 | 405 => "give --url (or KVSTORE_URL) the address of a kvstore alone, without a path",
        409 => "wait until that is done, and try again",
        413 => "store less at once, or have the server take more with --max-value-bytes and --max-body-bytes",
        421 => "use a URL that the server knows, or add its name to the server's KVSTORE_ALLOWED_HOSTS",
        422 => "use another --idempotency-key for another write",
        408 | 429 | 503 => "try again in a moment",
        501 => "ask a server with another storage, or use what its database has for this",
        507 => "make room on the server's disk, or delete keys",
        500.. => "look for the request in the server's log",
        _ => "mend what it names, and try again",
    }
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

#[cfg(test)]
mod tests {
    use kvstore_client::{Fault, Problem};

    use super::*;

    fn problem(status: u16) -> Box<Problem> {
        Box::new(Problem { status, detail: "The server says so.".into(), ..Problem::default() })
    }

    fn refused(status: u16) -> ClientError {
        ClientError::Refused { problem: problem(status) }
    }

    fn failed(status: u16) -> ClientError {
        ClientError::Failed { problem: problem(status), outcome: WriteOutcome::Unknown, retry_after: None }
    }

    /// A variant that is added has to be added to the test below too.
    const fn number(error: &ClientError) -> usize {
        match error {
            ClientError::Address(_) => 0,
            ClientError::Connect { .. } => 1,
            ClientError::Interrupted { .. } => 2,
            ClientError::ConditionFailed { .. } => 3,
            ClientError::Refused { .. } => 4,
            ClientError::Failed { .. } => 5,
            ClientError::BadAnswer(_) => 6,
        }
    }

    #[test]
    fn every_error_says_what_to_do_next() {
        let (url, reason) = ("http://h".to_owned(), "it took too long".to_owned());
        let address = |url, token| Client::new(url, token).expect_err("it can't be used");
        let cases = [
            (address("h:1", None), "write it as http://h:1"),
            (address("https://h", None), "put a local TLS proxy in front"),
            (address("http://h?x", None), "write it as http://host:port"),
            (address("http://h", Some("\n")), "use visible ASCII"),
            (ClientError::Connect { url: url.clone(), reason: reason.clone() }, "`kvstore serve`"),
            (ClientError::Interrupted { url, reason }, "--timeout"),
            (ClientError::ConditionFailed { problem: problem(412), current: None }, "read the key again"),
            (ClientError::BadAnswer("it is HTML".into()), "--url"),
            (refused(400), "mend what it names"),
            (refused(401), "KVSTORE_TOKEN"),
            (refused(403), "KVSTORE_TOKEN"),
            (refused(404), "--url"),
            (refused(405), "--url"),
            (refused(408), "try again"),
            (refused(409), "try again"),
            (refused(413), "--max-value-bytes"),
            (refused(414), "mend what it names"),
            (refused(415), "mend what it names"),
            (refused(421), "KVSTORE_ALLOWED_HOSTS"),
            (refused(422), "--idempotency-key"),
            (refused(431), "mend what it names"),
            (failed(500), "server's log"),
            (failed(501), "another storage"),
            (failed(503), "try again"),
            (failed(504), "server's log"),
            (failed(507), "make room"),
        ];
        let mut told = [false; 7];
        for (error, wanted) in cases {
            told[number(&error)] = true;
            let said = format!("{:#}", explain(error.clone()));
            assert!(said.contains(wanted) && !said.contains(".;"), "{error:?} says {said}");
        }
        assert_eq!(told, [true; 7], "a variant has no case here");
    }

    #[test]
    fn advice_on_a_list_of_faults_has_a_line_of_its_own() {
        let fault = Fault { pointer: Some("/items/0".into()), detail: "no".into() };
        let problem = Problem { errors: vec![fault], ..*problem(400) };
        let said = explain(ClientError::Refused { problem: problem.into() }).to_string();
        assert!(said.ends_with("\n  /items/0: no\nmend what it names, and try again"), "{said}");
    }
}
