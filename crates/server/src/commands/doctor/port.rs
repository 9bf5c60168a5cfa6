//! The address: free, or taken by a kvstore, or by somebody else.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use kvstore_client::Client;

use super::{Diagnosis, proc};
use crate::{banner::reachable, settings::Settings};

const CHECK: &str = "port";
/// Whoever has the port may not answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// How the address is, and whether a kvstore serves there.
pub(super) async fn look(settings: &Settings) -> (Diagnosis, bool) {
    let listen = settings.listen;
    // A server sets this too, so that connections of one that has just ended do not count.
    let error = match TcpListener::bind(listen) {
        Ok(_) => return (Diagnosis::ok(CHECK, format!("{listen} is free")), false),
        Err(error) => error,
    };
    let diagnosis = match error.kind() {
        ErrorKind::AddrInUse => return taken(listen, settings.token.as_deref()).await,
        ErrorKind::AddrNotAvailable => Diagnosis::problem(
            CHECK,
            format!("no network interface of this machine has the address {}", listen.ip()),
            "choose another with --listen",
        ),
        ErrorKind::PermissionDenied => {
            let detail = format!("this user may not listen on {listen}");
            Diagnosis::problem(CHECK, detail, "choose a port from 1024 up with --listen")
        }
        _ => Diagnosis::problem(CHECK, format!("{listen} can't be listened on: {error}"), "choose another with --listen"),
    };
    (diagnosis, false)
}

async fn taken(listen: SocketAddr, token: Option<&str>) -> (Diagnosis, bool) {
    let holder = proc::holder_of_port(listen.port()).map_or(String::new(), |process| format!(", {process}"));
    let asked = async { Client::new(&format!("http://{}", reachable(listen)), token).ok()?.health().await.ok() };
    let health = tokio::time::timeout(ANSWER_WAIT, asked).await.ok().flatten();
    match health {
        Some(health) if health.healthy => (Diagnosis::ok(CHECK, format!("a kvstore that is well answers at {listen}{holder}")), true),
        Some(_) => {
            let detail = format!("a kvstore answers at {listen}{holder}, and says that it is not well");
            (Diagnosis::problem(CHECK, detail, "look into its log, and ask it with `kvstore health`"), true)
        }
        None => {
            let detail = format!("{listen} is taken by another program{holder}");
            (Diagnosis::problem(CHECK, detail, "stop it, or choose another address with --listen"), false)
        }
    }
}
