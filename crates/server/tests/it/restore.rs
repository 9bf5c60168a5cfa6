//! `kvstore restore`: a store from a backup, and what is refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    backup::{filled, names, on_a_small_disk, restore},
    running::{Server, expect_exit, run, text},
};

/// A server's data directory, still being served, and a backup of it.
fn backed_up() -> (TempDir, Server, PathBuf) {
    let dir = TempDir::new().expect("a directory");
    let server = filled(&dir.path().join("data"), &[]);
    let copy = dir.path().join("copy");
    expect_exit(&server.client(&["backup", copy.to_str().expect("UTF-8"), "--rate-mb", "0"], b""), 0);
    (dir, server, copy)
}

#[track_caller]
fn refused(backup: &Path, data: &Path, code: i32) -> String {
    let output = run(restore(backup, data), b"");
    expect_exit(&output, code);
    text(&output.stderr)
}

#[test]
fn a_restored_store_says_what_it_was_made_from_and_is_another() {
    let (dir, server, copy) = backed_up();
    let data = dir.path().join("restored");
    fs::create_dir(&data).expect("an empty directory will do");
    expect_exit(&run(restore(&copy, &data), b""), 0);
    let identity = |dir: &str| fs::read_to_string(dir).expect("an identity");
    let (old, new) = (identity(&format!("{}/data/IDENTITY", dir.path().display())), identity(&format!("{}/IDENTITY", data.display())));
    let id = |text: &str| text.lines().find_map(|line| line.strip_prefix("id ")).expect("an id").to_owned();
    assert_ne!(id(&old), id(&new));
    assert!(new.contains(&format!("restored from {} at revision 12\n", id(&old))), "{new}");
    assert_eq!(names(&data), ["CURRENT", "IDENTITY", "LOCK", "db-000001"]);
    // Both can serve at the same time, and go their own ways.
    let other = Server::start(&data, &[]);
    expect_exit(&other.client(&["put", "k", "of the other"], b""), 0);
    expect_exit(&server.client(&["get", "k"], b""), 1);
    // What the original gives after the backup, the other never gives.
    let revision = |server: &Server, key: &str| {
        let entry = expect_exit(&server.client(&["get", key, "-o", "json"], b""), 0);
        serde_json::from_str::<serde_json::Value>(&entry).expect("JSON")["revision"].as_u64().expect("a revision")
    };
    assert_eq!(revision(&other, "k"), 12 + 1_000_000_000_000 + 1);
    other.stop();
    // And it is done once.
    let other = Server::start(&data, &[]);
    expect_exit(&other.client(&["put", "k", "again"], b""), 0);
    assert_eq!(revision(&other, "k"), 12 + 1_000_000_000_000 + 2);
    other.stop();
    server.stop();
}

#[test]
fn a_directory_that_holds_data_or_is_in_use_is_left_as_it_was() {
    let (dir, server, copy) = backed_up();
    let data = dir.path().join("data");
    assert!(refused(&copy, &data, 3).contains("in use"), "the server has it");
    server.stop();
    assert!(refused(&copy, &data, 3).contains("holds data already"));
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).expect("a directory");
    fs::write(foreign.join("thesis.tex"), "words").expect("a file");
    assert!(refused(&copy, &foreign, 3).contains("holds data already"));
    assert_eq!(names(&foreign), ["thesis.tex"]);
    assert!(refused(&copy, Path::new("/proc/kvstore-data"), 3).contains("--data-dir"));
    let server = Server::start(&data, &[]);
    assert_eq!(server.client(&["get", "noise/3"], b"").stdout.len(), 1 << 20);
    server.stop();
}

/// Applies a change to a copy of the backup and expects that it is refused, with nothing left of the try.
fn after(copy: &Path, code: i32, change: impl Fn(&Path)) -> String {
    let dir = TempDir::new().expect("a directory");
    let changed = dir.path().join("changed");
    let copied = std::process::Command::new("cp").arg("-r").arg(copy).arg(&changed).status().expect("cp runs");
    assert!(copied.success());
    change(&changed);
    let said = refused(&changed, &dir.path().join("data"), code);
    assert_eq!(names(dir.path()), ["changed"], "something was left after {said}");
    said
}

fn table(backup: &Path) -> PathBuf {
    let tables = names(&backup.join("db")).into_iter().filter(|name| name.ends_with(".sst"));
    let largest = tables.max_by_key(|name| fs::metadata(backup.join("db").join(name)).map_or(0, |file| file.len()));
    backup.join("db").join(largest.expect("a table"))
}

#[test]
fn a_damaged_backup_is_refused_and_the_file_is_named() {
    let (_dir, server, copy) = backed_up();
    server.stop();
    let flip = |path: &Path, place: usize| {
        let mut bytes = fs::read(path).expect("readable");
        bytes[place] ^= 1;
        fs::write(path, bytes).expect("writable");
    };
    let said = after(&copy, 4, |backup| flip(&table(backup), 500_000));
    assert!(said.contains(".sst") && said.contains("checksum"), "{said}");
    let said = after(&copy, 4, |backup| fs::remove_file(table(backup)).expect("removable"));
    assert!(said.contains(".sst is missing"), "{said}");
    let said = after(&copy, 4, |backup| fs::write(table(backup), "short").expect("writable"));
    assert!(said.contains("has 5 bytes"), "{said}");
    let said = after(&copy, 4, |backup| fs::remove_file(backup.join("kvstore-backup.b3")).expect("removable"));
    assert!(said.contains("cut short"), "{said}");
    let said = after(&copy, 4, |backup| {
        let text = fs::read_to_string(backup.join("kvstore-backup.json")).expect("readable");
        fs::write(backup.join("kvstore-backup.json"), text.replace("\"revision\": 12", "\"revision\": 13")).expect("writable");
    });
    assert!(said.contains("kvstore-backup.json") && said.contains("checksum"), "{said}");
}

/// It was said that a file is missing, which led to no idea of what had happened.
#[test]
fn files_of_another_store_are_said_to_be_that() {
    let (dir, server, copy) = backed_up();
    server.stop();
    let other = Server::start(&dir.path().join("other"), &[]);
    let other_copy = dir.path().join("other-copy");
    expect_exit(&other.client(&["put", "of the other", "v"], b""), 0);
    expect_exit(&other.client(&["backup", other_copy.to_str().expect("UTF-8")], b""), 0);
    other.stop();
    for (own, foreign) in [(&copy, &other_copy), (&other_copy, &copy)] {
        let with = |name: &str| {
            after(own, 4, |backup| {
                let (place, from) = (backup.join(name), foreign.join(name));
                let moved = std::process::Command::new("bash")
                    .args(["-c", "rm -r \"$1\" && cp -r \"$2\" \"$1\"", "-"])
                    .args([&place, &from])
                    .status();
                assert!(moved.expect("bash runs").success());
            })
        };
        let said = with("db");
        assert!(said.contains("is perhaps of another backup, or of another store; this one is of the store "), "{said}");
        let said = with("kvstore-backup.json");
        assert!(said.contains("checksum") && said.contains("it was changed, or is another backup's"), "{said}");
    }
}

/// The files of a server and of a backup are theirs: what lies among them is taken for damage, or removed.
#[test]
fn nothing_is_backed_up_or_restored_into_a_data_directory_or_a_backup() {
    let (dir, server, copy) = backed_up();
    let data = dir.path().join("data");
    for (place, what) in [(data.join("copy"), "lies in the data directory"), (copy.join("deep/copy"), "lies in the backup")] {
        let before = (names(&data), names(&copy));
        let output = server.client(&["backup", place.to_str().expect("UTF-8")], b"");
        expect_exit(&output, 3);
        let said = text(&output.stderr);
        assert!(said.contains(what) && said.contains("name a directory elsewhere"), "{said}");
        assert!(refused(&copy, &place, 3).contains(what));
        assert_eq!((names(&data), names(&copy)), before, "something was made");
    }
    server.stop();
}

#[test]
fn what_is_no_backup_or_a_newer_one_is_refused() {
    let (dir, server, copy) = backed_up();
    server.stop();
    let said = after(&copy, 3, |backup| {
        let text = fs::read_to_string(backup.join("kvstore-backup.json")).expect("readable");
        fs::write(backup.join("kvstore-backup.json"), text.replace("\"format\": 1", "\"format\": 2")).expect("writable");
    });
    assert!(said.contains("newer kvstore"), "{said}");
    let said = after(&copy, 3, |backup| fs::write(backup.join("kvstore-backup.json"), "{\"kind\": \"mail\"}").expect("writable"));
    assert!(said.contains("not a kvstore backup"), "{said}");
    let target = dir.path().join("target");
    for other in [dir.path().join("data"), dir.path().join("nowhere"), copy.join("kvstore-backup.json")] {
        let said = refused(&other, &target, 3);
        assert!(said.contains("not a kvstore backup"), "{}: {said}", other.display());
    }
}

#[test]
fn a_full_disk_is_said_and_the_restore_can_be_run_again() {
    let (dir, server, copy) = backed_up();
    server.stop();
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).expect("a directory");
    let binary = env!("CARGO_BIN_EXE_kvstore");
    let line = format!("'{binary}' restore {} --data-dir {1}/data; code=$?; ls -A {1}; exit $code", copy.display(), disk.display());
    let output = run(on_a_small_disk(&disk, &line, ""), b"");
    assert_eq!(expect_exit(&output, 3), "", "nothing is left on the disk");
    assert!(text(&output.stderr).contains("No space left on device"), "{}", text(&output.stderr));
    // A mount point is there before the restore: it stays.
    let line = format!("'{binary}' restore {} --data-dir {1}; code=$?; ls -A {1}; exit $code", copy.display(), disk.display());
    let output = run(on_a_small_disk(&disk, &line, ""), b"");
    assert_eq!(expect_exit(&output, 3), "", "nothing is left on the disk");
}

/// What a restore leaves that was killed: no server takes it for data, and the next restore begins anew.
#[test]
fn a_restore_that_was_cut_short_is_no_data_directory_and_is_taken_over() {
    let (dir, server, copy) = backed_up();
    server.stop();
    let data = dir.path().join("restored");
    fs::create_dir_all(data.join("db-000001")).expect("directories");
    fs::write(data.join("RESTORING"), "").expect("a file");
    fs::write(data.join("LOCK"), "").expect("a file");
    fs::copy(table(&copy), data.join("db-000001/000099.sst")).expect("a file");
    let mut serve = crate::running::kvstore(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    serve.arg(&data);
    let output = run(serve, b"");
    expect_exit(&output, 3);
    assert!(text(&output.stderr).contains("run it again"), "{}", text(&output.stderr));
    expect_exit(&run(restore(&copy, &data), b""), 0);
    assert!(!data.join("db-000001/000099.sst").exists());
    let server = Server::start(&data, &[]);
    assert_eq!(server.client(&["get", "noise/3"], b"").stdout.len(), 1 << 20);
    server.stop();
}
