//! Who can reach the server, and what they need for it.

use super::Diagnosis;
use crate::settings::Settings;

const CHECK: &str = "access";
/// A token of fewer characters can be guessed.
const TOKEN_CHARS_MIN: usize = 16;

pub(super) fn look(settings: &Settings) -> Diagnosis {
    let is_local = settings.listen.ip().is_loopback();
    match &settings.token {
        Some(token) if token.len() < TOKEN_CHARS_MIN => {
            let detail = format!("the token has {} characters and can be guessed", token.len());
            Diagnosis::warning(CHECK, detail, "set KVSTORE_TOKEN to a random one, as `openssl rand -hex 32` gives")
        }
        Some(_) if is_local => Diagnosis::ok(CHECK, "only this machine can reach it, and it needs the token"),
        Some(_) => Diagnosis::warning(
            CHECK,
            format!("other machines can reach {}, with the token; what they send and get can be read on the way", settings.listen),
            "where the network is not yours, put a proxy with TLS in front",
        ),
        None if is_local => Diagnosis::ok(CHECK, "only this machine can reach it, and every program on it may"),
        None => Diagnosis::warning(
            CHECK,
            format!("whoever can reach {} can read and write everything", settings.listen),
            "set KVSTORE_TOKEN, unless the network is trusted",
        ),
    }
}
