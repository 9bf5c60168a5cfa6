//! `REPLICA_NODES` over PostgreSQL: what health tells of the other nodes while they come, hang and go.

use std::net::TcpListener;

use kvstore_testkit::{Postgres, free_port};
use rustix::process::Signal;
use serde_json::Value;

use crate::running::{Server, eventually, expect_exit, kvstore, run, text};

fn serve(database: &str, port: u16, others: &str) -> Server {
    let mut command = kvstore(&["serve", "--storage", "postgres", "--database-url", database, "--listen"]);
    command.arg(format!("127.0.0.1:{port}")).env("REPLICA_NODES", others);
    Server::start_command(command)
}

fn cluster(server: &Server) -> Value {
    let health: Value = serde_json::from_str(&expect_exit(&server.client(&["health"], b""), 0)).expect("JSON");
    health.get("cluster").expect("a part on the cluster").clone()
}

/// The state of each node, this one first.
fn states(server: &Server) -> Vec<String> {
    let cluster = cluster(server);
    let nodes = cluster.get("nodes").and_then(Value::as_array).expect("a list").iter();
    nodes.map(|node| node.get("state").and_then(Value::as_str).expect("a state").to_owned()).collect()
}

#[test]
fn health_tells_how_the_other_nodes_are() {
    let postgres = Postgres::shared().expect("a cluster");
    let database = postgres.database().expect("a database");
    let (first, second) = (free_port().expect("a port"), free_port().expect("a port"));
    // It takes connections, and answers as a web server would that knows nothing of kvstore.
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a port");
    let foreign_port = foreign.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in foreign.incoming().flatten() {
            let _ = std::io::Read::read(&mut &stream, &mut [0; 512]);
            let _ = std::io::Write::write_all(&mut &stream, b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html/>");
        }
    });
    let one = serve(&database, first, &format!("127.0.0.1:{second},http://127.0.0.1:{foreign_port}/"));
    one.wait_for("PostgreSQL replicates the data, and kvstore nothing");
    eventually("the absent node is silent", || states(&one) == ["ready", "silent", "foreign"]);
    let alone = cluster(&one);
    assert_eq!((&alone["total_nodes"], &alone["healthy_nodes"], &alone["unhealthy_nodes"]), (&3.into(), &1.into(), &2.into()), "{alone}");
    assert_eq!((&alone["replication_enabled"], &alone["required_for_quorum"]), (&false.into(), &1.into()), "{alone}");
    assert_eq!((&alone["has_quorum"], &alone["can_accept_writes"]), (&true.into(), &true.into()), "{alone}");
    assert_eq!((&alone["automatic_failover_enabled"], &alone["leader"]), (&true.into(), &Value::Null), "{alone}");
    assert_eq!(alone["nodes"][1]["url"], format!("http://127.0.0.1:{second}/kv-store/v1"), "{alone}");

    // The form that the other deployment takes.
    let other = serve(&database, second, &format!("[{{\"url\": \"http://127.0.0.1:{first}/kv-store/v1\"}}]"));
    eventually("both see each other", || states(&one)[..2] == ["ready", "ready"] && states(&other) == ["ready", "ready"]);
    assert_eq!(cluster(&one)["healthy_nodes"], 2);

    other.signal(Signal::STOP);
    eventually("a node that hangs is silent, and holds nobody's health up", || states(&one)[..2] == ["ready", "silent"]);
    other.signal(Signal::CONT);
    eventually("it is back", || states(&one)[..2] == ["ready", "ready"]);
    other.stop();
    eventually("it is gone", || states(&one)[..2] == ["ready", "silent"]);
    let said = one.stop();
    assert_eq!(said.matches("another node can serve").count(), 2, "{said}");
    assert!(said.contains("another node can't serve"), "{said}");
}

#[test]
fn a_node_says_of_itself_that_its_database_is_away() {
    let postgres = Postgres::start(kvstore_testkit::PostgresOptions::default()).expect("a cluster");
    let lively = Postgres::shared().expect("a cluster");
    let (first, second) = (free_port().expect("a port"), free_port().expect("a port"));
    let one = serve(&lively.database().expect("a database"), first, &format!("127.0.0.1:{second}"));
    let other = serve(&postgres.database().expect("a database"), second, "");
    eventually("both serve", || states(&one) == ["ready", "ready"]);
    postgres.stop().expect("an end");
    eventually("the other says why it can't", || states(&one) == ["ready", "unreachable"]);
    assert!(one.http_get("/readyz").contains("200 OK"), "a node's readiness is its own");
    one.stop();
    other.stop();
}

#[test]
fn nodes_that_can_not_be_asked_end_the_start() {
    let mut command = kvstore(&["serve", "--storage", "postgres", "--database-url", "postgres://u@h/d", "--listen", "127.0.0.1:0"]);
    command.env("REPLICA_NODES", "https://node2:8000");
    let output = run(command, b"");
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("REPLICA_NODES can't be used") && said.contains("https"), "{said}");
}
