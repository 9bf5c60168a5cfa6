//! What an error says of a write.

use bytes::Bytes;
use kvstore_client::{Client, ClientError, DeleteOptions, PutOptions, WriteOutcome};
use kvstore_types::{IdempotencyKey, Key};

use crate::scripted::{Step, answer, problem, serve};

const ENTRY: &str = r#"{"key":"k","value":"v","version":1,"revision":7,"created_at":"a","updated_at":"b"}"#;

async fn put_error(step: Step) -> ClientError {
    let (url, served) = serve(vec![step]).await;
    let client = Client::new(&url, None).expect("an address");
    let error = client.put(&key(), Bytes::from("v"), &PutOptions::default()).await.expect_err("the put must fail");
    assert_eq!(served.await.expect("served").len(), 1, "a write without an idempotency key was sent again");
    error
}

fn key() -> Key {
    Key::new("k").expect("a key")
}

#[tokio::test]
async fn a_failure_that_does_not_say_so_is_not_taken_as_not_applied() {
    let cases = [
        (problem(503, r#","outcome":"not_applied""#), WriteOutcome::NotApplied),
        (problem(507, r#","outcome":"not_applied""#), WriteOutcome::NotApplied),
        (problem(504, r#","outcome":"unknown""#), WriteOutcome::Unknown),
        (problem(503, ""), WriteOutcome::Unknown),
        (answer("502 Bad Gateway", &["Content-Type: text/html"], "<h1>proxy</h1>"), WriteOutcome::Unknown),
        (answer("302 Found", &["Location: http://127.0.0.1:1/"], ""), WriteOutcome::Unknown),
        (answer("200 OK", &[], "hello"), WriteOutcome::Unknown),
        (problem(400, ""), WriteOutcome::NotApplied),
        (Step::Close, WriteOutcome::Unknown),
    ];
    for (number, (step, expected)) in cases.into_iter().enumerate() {
        let error = put_error(step).await;
        assert_eq!(error.outcome(), expected, "case {number}: {error}");
    }
}

#[tokio::test]
async fn nothing_listens_is_not_applied() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = Client::new(&url, None).expect("an address");
    let error = client.put(&key(), Bytes::new(), &PutOptions::default()).await.expect_err("nothing listens");
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert_eq!(error.outcome(), WriteOutcome::NotApplied);
}

#[tokio::test]
async fn an_answer_about_another_key_is_refused() {
    for header in ["KV-Key: other", "X: y", "KV-Key: k%2F"] {
        let error = put_error(answer("201 Created", &[header, "Content-Type: application/json"], ENTRY)).await;
        assert!(matches!(error, ClientError::BadAnswer(_)), "{header}: {error:?}");
        assert_eq!(error.outcome(), WriteOutcome::Unknown, "{header}");
    }
}

#[tokio::test]
async fn a_failed_condition_tells_the_revision_there_is() {
    let step = answer("412 X", &["ETag: \"9\"", "Content-Type: application/problem+json"], r#"{"status":412,"detail":"no"}"#);
    match put_error(step).await {
        ClientError::ConditionFailed { current, .. } => assert_eq!(current.map(|revision| revision.0), Some(9)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn with_an_idempotency_key_a_write_is_sent_until_it_is_answered() {
    let stored = answer("201 Created", &["KV-Key: k", "Idempotency-Replayed: true", "Content-Type: application/json"], ENTRY);
    let (url, served) = serve(vec![problem(503, r#","outcome":"not_applied""#), Step::Close, problem(504, ""), stored]).await;
    let client = Client::new(&url, Some("secret")).expect("an address");
    let idempotency = Some(IdempotencyKey::new("once").expect("a key"));
    let answer = client.put(&key(), Bytes::from("v"), &PutOptions { idempotency, ..PutOptions::default() }).await.expect("stored at last");
    assert!(answer.replayed && answer.created, "{answer:?}");
    let heads = served.await.expect("served");
    assert_eq!(heads.len(), 4);
    for head in heads {
        assert!(head.contains("idempotency-key: once"), "an attempt without its key: {head}");
        assert!(head.contains("authorization: bearer secret"), "an attempt without the token: {head}");
    }
}

#[tokio::test]
async fn attempts_are_bounded() {
    let (url, served) = serve(vec![Step::Close; 5]).await;
    let client = Client::new(&url, None).expect("an address");
    let idempotency = Some(IdempotencyKey::new("once").expect("a key"));
    let error = client.delete(&key(), &DeleteOptions { idempotency, ..DeleteOptions::default() }).await.expect_err("never answered");
    assert_eq!(error.outcome(), WriteOutcome::Unknown, "{error}");
    assert_eq!(served.await.expect("served").len(), 5);
}

#[tokio::test]
async fn an_interrupted_attempt_is_not_forgotten_when_the_last_one_was_not_applied() {
    let mut steps = vec![Step::Close];
    steps.extend(vec![problem(503, r#","outcome":"not_applied""#); 4]);
    let (url, served) = serve(steps).await;
    let client = Client::new(&url, None).expect("an address");
    let idempotency = Some(IdempotencyKey::new("once").expect("a key"));
    let error = client.delete(&key(), &DeleteOptions { idempotency, ..DeleteOptions::default() }).await.expect_err("never stored");
    assert_eq!(error.outcome(), WriteOutcome::Unknown, "the first attempt may have been applied: {error}");
    assert_eq!(served.await.expect("served").len(), 5);
}

#[tokio::test]
async fn only_a_404_about_the_key_means_absent() {
    let absent = answer(
        "404 X",
        &["Content-Type: application/problem+json"],
        r#"{"type":"urn:kvstore:problem:key-not-found","status":404,"detail":"no such key"}"#,
    );
    let cases = [(absent, true), (problem(404, ""), false), (answer("404 Not Found", &["Content-Type: text/html"], "<h1>"), false)];
    for (number, (step, is_absent)) in cases.into_iter().enumerate() {
        let (url, served) = serve(vec![step]).await;
        let got = Client::new(&url, None).expect("an address").get(&key()).await;
        assert_eq!(matches!(got, Ok(None)), is_absent, "case {number}: {got:?}");
        served.await.expect("served");
    }
}
