//! The example with Debian's package index, whole, against a server of its own.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::running::{Server, expect_exit, run};

#[test]
fn the_package_index_is_loaded_paged_and_read() {
    // Nothing is installed here: the lists must be on the machine.
    let index = Command::new("apt-cache").arg("dumpavail").output().expect("apt-cache is there: this example needs Debian");
    assert!(index.stdout.len() > 1 << 20, "`apt-cache dumpavail` prints next to nothing: run `apt-get update` and try again");

    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/debian-packages/run.sh");
    let mut command = Command::new(script);
    command.env("KVSTORE", env!("CARGO_BIN_EXE_kvstore")).env("KVSTORE_URL", &server.url).env_remove("KVSTORE_TOKEN");
    let said = expect_exit(&run(command, b""), 0);

    let stanzas = index.stdout.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"Package: ")).count();
    assert!(said.contains(&format!("{stanzas} entries stored")), "the index has {stanzas} stanzas, and the script said {said}");
    assert!(said.contains("Package: bash\n"), "the stanza of bash is missing: {said}");
    let python: usize = said.lines().find_map(|line| line.strip_prefix("... ")?.strip_suffix(" in all")?.parse().ok()).expect("a count");
    assert!(python > 1_000, "only {python} packages begin with python3-");
    server.stop();
}
