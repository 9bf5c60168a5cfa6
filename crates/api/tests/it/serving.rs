//! Connections: the cap, and the end of the server.

use std::time::Duration;

use kvstore_api::ServeOptions;
use tokio_util::sync::CancellationToken;

use crate::support::{Mode, Server, Setup, request, within};

const A: &str = "/kv-store/v1/kv/a/";

#[tokio::test]
async fn connections_over_the_cap_are_told_and_closed() {
    let serve = ServeOptions { max_connections: 2, ..ServeOptions::default() };
    let server = Server::with(Setup { serve, ..Setup::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = server.connect().await;
        connection.send(&request("GET", "/livez", &[], b"")).await;
        assert_eq!(connection.answer("GET").await.status, 200);
        held.push(connection);
    }
    let mut third = server.connect().await;
    third.send(&request("GET", "/livez", &[], b"")).await;
    let answer = third.answer("GET").await;
    answer.problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(third.closed().await.is_empty());
    drop(held.pop());
    within(async {
        loop {
            let mut again = server.connect().await;
            again.send(&request("GET", "/livez", &[], b"")).await;
            if again.answer("GET").await.status == 200 {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way() {
    let server = Server::start().await;
    let go_on = CancellationToken::new();
    let mut idle = server.connect().await;
    idle.send(&request("GET", "/livez", &[], b"")).await;
    assert_eq!(idle.answer("GET").await.status, 200);
    server.store.set(Mode::Waits(go_on.clone()));
    let mut busy = server.connect().await;
    busy.send(&request("PUT", A, &[], b"x")).await;
    within(async {
        while server.budget.used() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop();
    assert!(idle.closed().await.is_empty(), "an idle connection is closed at once");
    go_on.cancel();
    let answer = busy.answer("PUT").await;
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    assert_eq!(server.ended().await, 0, "no connection was cut");
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let serve = ServeOptions { drain: Duration::from_millis(100), ..ServeOptions::default() };
    let server = Server::with(Setup { serve, ..Setup::default() }).await;
    server.store.set(Mode::Waits(CancellationToken::new()));
    let mut busy = server.connect().await;
    busy.send(&request("PUT", A, &[], b"x")).await;
    within(async {
        while server.budget.used() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop();
    assert_eq!(server.ended().await, 1, "the connection that hangs was cut");
    assert!(busy.closed().await.is_empty());
}
