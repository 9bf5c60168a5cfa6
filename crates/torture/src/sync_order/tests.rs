//! Traces written by hand: in order, and doctored in each way that the check is for.

use super::analyse::analyse;

const WRITE: &str = r#"10 1.000001 write(9</d/db/000004.log>, "\1\0key-a-\0", 11) = 11"#;
const SYNC: &str = r"10 1.000002 fdatasync(9</d/db/000004.log>) = 0";
const ANSWER: &str = r#"11 1.000003 sendto(12<TCP:[127.0.0.1:80->127.0.0.1:99]>, "HTTP/1.1 201 Created\r\nKV-Key: key-a-\r\n\r\n{}", 40, MSG_NOSIGNAL, NULL, 0) = 40"#;

fn faults(lines: &[&str]) -> (usize, usize) {
    let verdict = analyse(&lines.join("\n"));
    (verdict.covered, verdict.faults.len())
}

#[test]
fn write_sync_answer_is_good() {
    assert_eq!(faults(&[WRITE, SYNC, ANSWER]), (1, 0));
}

#[test]
fn an_answer_before_or_without_a_sync_is_found() {
    assert_eq!(faults(&[WRITE, ANSWER, SYNC]), (0, 1));
    assert_eq!(faults(&[WRITE, ANSWER]), (0, 1));
    assert_eq!(faults(&[SYNC, WRITE, ANSWER]), (0, 1));
    assert_eq!(faults(&[ANSWER]), (0, 1));
}

#[test]
fn a_sync_of_another_file_or_one_that_failed_does_not_count() {
    assert_eq!(faults(&[WRITE, "10 1.0 fdatasync(8</d/db/000009.sst>) = 0", ANSWER]), (0, 1));
    assert_eq!(faults(&[WRITE, "10 1.0 fdatasync(8</d/db/000003.log>) = 0", ANSWER]), (0, 1));
    assert_eq!(faults(&[WRITE, "10 1.0 fdatasync(9</d/db/000004.log>) = -1 EIO (Input/output error)", ANSWER]), (0, 1));
}

#[test]
fn a_sync_that_began_before_the_write_ended_or_has_not_ended_does_not_count() {
    let begins = "13 1.0 fdatasync(9</d/db/000004.log> <unfinished ...>";
    let ends = "13 1.1 <... fdatasync resumed>) = 0";
    assert_eq!(faults(&[begins, WRITE, ends, ANSWER]), (0, 1));
    assert_eq!(faults(&[WRITE, begins, ANSWER, ends]), (0, 1));
    assert_eq!(faults(&[WRITE, begins, ends, ANSWER]), (1, 0));
}

#[test]
fn a_second_write_of_the_same_key_needs_a_sync_of_its_own() {
    assert_eq!(faults(&[WRITE, SYNC, ANSWER, WRITE, ANSWER]), (1, 1));
}

#[test]
fn errors_and_reads_are_no_acknowledgements() {
    let refused = ANSWER.replace("201 Created", "412 Precondition Failed");
    assert_eq!(faults(&[WRITE, &refused]), (0, 0));
    let read = ANSWER.replace("KV-Key: key-a-", "ETag: 1");
    assert_eq!(faults(&[WRITE, &read]), (0, 0));
}

#[test]
fn a_batch_needs_every_write_before_it_to_be_synced() {
    let answer = ANSWER.replace("KV-Key: key-a-", "ETag: 1").replace("{}", r#"{\"count\":2,\"revision\":7}"#);
    assert_eq!(faults(&[WRITE, SYNC, &answer]), (1, 0));
    assert_eq!(faults(&[WRITE, &answer, SYNC]), (0, 1));
    assert_eq!(faults(&[WRITE, SYNC, WRITE, &answer]), (0, 1));
}
