//! `kvstore import` from other stores: a real Redis, a real etcd, and Consul's export as its documentation shows it.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, run, text};

fn server() -> (Server, TempDir) {
    let dir = TempDir::new().expect("a directory");
    (Server::start(&dir.path().join("data"), &[]), dir)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Another store's process, ended with the test.
pub(crate) struct Other(Child);

impl Other {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("it is installed: scripts/install-deps.sh test"))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn redis(dir: &Path) -> (Other, u16) {
    let port = free_port();
    let dir = dir.to_str().expect("UTF-8");
    let other = Other::start("redis-server", &["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", dir]);
    eventually("the Redis answers", || text(&redis_cli(port, &["PING"], b"")) == "PONG\n");
    (other, port)
}

pub(crate) fn redis_cli(port: u16, arguments: &[&str], stdin: &[u8]) -> Vec<u8> {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string()]).args(arguments);
    run(command, stdin).stdout
}

#[test]
fn strings_of_a_redis_come_with_their_times_to_live() {
    let (server, dir) = server();
    let (other, port) = redis(dir.path());
    // More than one SCAN gives; among them what is text, what is bytes, and what expires.
    let sets: String = (0..3_500).map(|n| format!("SET k{n:04} {n}\n")).collect();
    redis_cli(port, &[], sets.as_bytes());
    redis_cli(port, &["-x", "SET", "bytes"], b"\xff\x00\x01");
    redis_cli(port, &["SET", "soon", "v", "EX", "1000"], b"");
    redis_cli(port, &["-x", "SET", "large"], &vec![b'v'; 6 << 20]);
    redis_cli(port, &["RPUSH", "list", "a", "b"], b"");
    redis_cli(port, &["HSET", "hash", "f", "v"], b"");
    redis_cli(port, &["HSET", "hash2", "f", "v"], b"");

    let url = format!("redis://127.0.0.1:{port}/0");
    let dry = server.client(&["import", "--from-redis", &url, "--dry-run"], b"");
    assert!(expect_exit(&dry, 0).contains("3503 would be stored"), "{}", text(&dry.stdout));
    let output = server.client(&["import", "--from-redis", &url, "--progress", "json"], b"");
    assert_eq!(expect_exit(&output, 0), "3503 entries stored\n");
    let said = text(&output.stderr);
    // Keys of every type are counted by DBSIZE, and looked at.
    assert!(said.contains("\"keys\":3506,\"keys_total\":3506,"), "{said}");
    let output = server.client(&["import", "--from-redis", &url], b"");
    assert_eq!(expect_exit(&output, 0), "3503 entries stored\n");
    let said = text(&output.stderr);
    assert!(said.contains("2 keys of type hash not imported") && said.contains("1 key of type list"), "{said}");

    let keys = expect_exit(&server.client(&["list", "--keys-only"], b""), 0);
    assert_eq!(keys.lines().count(), 3_503, "keys");
    assert_eq!(expect_exit(&server.client(&["get", "k0042"], b""), 0), "42");
    // redis-cli takes what it reads as it is.
    assert_eq!(server.client(&["get", "bytes"], b"").stdout, b"\xff\x00\x01");
    assert_eq!(server.client(&["get", "large"], b"").stdout.len(), 6 << 20);
    let soon: serde_json::Value = serde_json::from_str(&expect_exit(&server.client(&["get", "soon", "-o", "json"], b""), 0)).expect("JSON");
    assert!(soon["expires_at"].is_string(), "{soon}");

    // A key that is none here stops the import, or is passed over and told.
    redis_cli(port, &["SET", &"x".repeat(256), "v"], b"");
    let output = server.client(&["import", "--from-redis", &url], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("the key has 256 characters"), "{}", text(&output.stderr));
    let output = server.client(&["import", "--from-redis", &url, "--skip-invalid"], b"");
    assert_eq!(expect_exit(&output, 0), "3503 entries stored, 1 skipped\n");
    drop(other);
    let output = server.client(&["import", "--from-redis", &url], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("can't reach the Redis"), "{}", text(&output.stderr));
    let output = server.client(&["import", "--from-redis", "localhost"], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("redis://host:6379/0"), "{}", text(&output.stderr));
    server.stop();
}

fn etcdctl(endpoint: &str, arguments: &[&str], stdin: &[u8]) -> Vec<u8> {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", endpoint]).args(arguments);
    run(command, stdin).stdout
}

#[test]
fn what_etcdctl_prints_is_imported() {
    let (server, dir) = server();
    let (clients, peers) = (format!("http://127.0.0.1:{}", free_port()), format!("http://127.0.0.1:{}", free_port()));
    let data = dir.path().join("etcd");
    let arguments = [
        ["--data-dir", data.to_str().expect("UTF-8")],
        ["--listen-client-urls", &clients],
        ["--advertise-client-urls", &clients],
        ["--listen-peer-urls", &peers],
        ["--initial-advertise-peer-urls", &peers],
        ["--initial-cluster", &format!("default={peers}")],
    ];
    let _other = Other::start("etcd", &arguments.concat());
    eventually("the etcd answers", || text(&etcdctl(&clients, &["put", "fruit/apple", "red"], b"")) == "OK\n");
    etcdctl(&clients, &["put", "bytes"], b"\xff\x01");
    etcdctl(&clients, &["put", "empty", ""], b"");
    let lease = text(&etcdctl(&clients, &["lease", "grant", "1000"], b""));
    let lease = lease.split_whitespace().nth(1).expect("a lease");
    etcdctl(&clients, &["put", "leased", "v", "--lease", lease], b"");
    let exported = etcdctl(&clients, &["get", "--prefix", "", "-w", "json"], b"");

    let output = server.client(&["import", "--format", "etcd", "-"], &exported);
    assert_eq!(expect_exit(&output, 0), "4 entries stored\n");
    assert!(text(&output.stderr).contains("1 entry had a lease"), "{}", text(&output.stderr));
    assert_eq!(expect_exit(&server.client(&["list", "--keys-only"], b""), 0), "bytes\nempty\nfruit/apple\nleased\n");
    assert_eq!(server.client(&["get", "bytes"], b"").stdout, b"\xff\x01");
    assert_eq!(expect_exit(&server.client(&["get", "fruit/apple"], b""), 0), "red");

    // One that is cut off is said so, and what came before is stored.
    let output = server.client(&["import", "--format", "etcd", "-"], &exported[..exported.len() / 2]);
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("EOF") && text(&output.stderr).contains("1 entry is stored"), "{}", text(&output.stderr));
    server.stop();
}

/// The fields and the form of `consul kv export`, as HashiCorp's documentation of the command shows them.
const CONSUL: &str = r#"[
	{
		"key": "redis/config/minconns",
		"flags": 0,
		"value": "MQ=="
	},
	{
		"key": "redis/config/folder/",
		"flags": 42,
		"value": ""
	},
	{
		"key": "redis/config/users/admin",
		"flags": 0,
		"value": "/wA=",
		"namespace": "default"
	}
]
"#;

#[test]
fn what_consul_exports_is_imported() {
    let (server, dir) = server();
    let file = dir.path().join("consul.json");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, CONSUL).expect("a file");
    let output = server.client(&["import", "--format", "consul", path], b"");
    assert_eq!(expect_exit(&output, 0), "3 entries stored\n");
    assert!(text(&output.stderr).contains("1 entry had flags"), "{}", text(&output.stderr));
    assert_eq!(expect_exit(&server.client(&["get", "redis/config/minconns"], b""), 0), "1");
    assert_eq!(expect_exit(&server.client(&["get", "redis/config/folder/"], b""), 0), "");
    assert_eq!(server.client(&["get", "redis/config/users/admin"], b"").stdout, b"\xff\x00");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the folder").count(), 2, "a state was left that nobody can use");

    std::fs::write(&file, CONSUL.replace("redis/config/folder/", "").replace("MQ==", "M")).expect("a file");
    let output = server.client(&["import", "--format", "consul", path], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("item 1: the value is not base64"), "{}", text(&output.stderr));
    let output = server.client(&["import", "--format", "consul", "--skip-invalid", path], b"");
    assert_eq!(expect_exit(&output, 0), "1 entry stored, 2 skipped\n");
    assert!(text(&output.stderr).contains("item 2: the key \"\": the key is empty"), "{}", text(&output.stderr));
    for option in ["--resume", "--with-metadata"] {
        expect_exit(&server.client(&["import", "--format", "consul", path, option], b""), 2);
    }
    server.stop();
}
