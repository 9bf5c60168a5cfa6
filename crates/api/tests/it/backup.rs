//! The door to backups: who may, and what a store says that can't. The archive itself is tested with the binary, which has a disk.

use kvstore_api::ApiOptions;

use crate::support::{Server, Setup};

const BACKUP: &str = "/kv-store/v1/backup/";

#[tokio::test]
async fn a_store_without_files_says_so() {
    let server = Server::start().await;
    let problem = server.get(BACKUP).await.problem(501, "not-supported");
    assert!(problem["detail"].as_str().unwrap().contains("in memory"), "{problem}");
    assert_eq!(server.budget.used(), 0, "what was taken for it was given back");
    // The turn was given back too: this is not "another is under way".
    server.get("/kv-store/v1/backup?rate_mb=0").await.problem(501, "not-supported");
}

#[tokio::test]
async fn what_is_asked_must_be_understood() {
    let server = Server::start().await;
    for query in ["rate_mb=fast", "rate_mb=-1", "rate_mb=", "rate=1", "rate_mb=1&rate_mb=1"] {
        server.get(&format!("{BACKUP}?{query}")).await.problem(400, "bad-query");
    }
    let refused = server.call("POST", BACKUP, &[], b"").await;
    refused.problem(405, "method-not-allowed");
    assert_eq!(refused.header("allow"), Some("GET"));
}

#[tokio::test]
async fn a_backup_needs_the_token_and_is_not_shed() {
    let api = ApiOptions { token: Some("secret".into()), max_requests: 0, ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    server.get(BACKUP).await.problem(401, "unauthorized");
    let bearer = [("Authorization", "Bearer secret")];
    server.call("GET", "/kv-store/v1/kv/", &bearer, b"").await.problem(503, "overloaded");
    server.call("GET", BACKUP, &bearer, b"").await.problem(501, "not-supported");
}
