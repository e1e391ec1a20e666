//! `vivarium data`: its exit codes, its two forms, and that it only looks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rig::Server;

fn data(words: &[&Path], json: bool) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    command.arg("data").args(words);
    if json {
        command.args(["-o", "json"]);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden/zookeeper-3.9.5").join(name)
}

/// A copy that may be changed.
fn copy(name: &str) -> tempfile::TempDir {
    let at = tempfile::tempdir().unwrap();
    let inside = at.path().join("version-2");
    fs::create_dir(&inside).unwrap();
    for (file, bytes) in contents(&golden(name).join("version-2")) {
        fs::write(inside.join(file), bytes).unwrap();
    }
    at
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let plain = entries.filter(|entry| entry.path().is_file());
    plain
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_good_folder_is_zero_and_a_bad_one_is_one() {
    let at = copy("ensemble-1");
    let (code, text, _) = data(&[at.path()], false);
    let first = "Apache ZooKeeper 3.9.5 would start on this folder (as a member of an ensemble), \
                 at zxid 0x100000007.";
    assert_eq!((code, text.lines().next()), (Some(0), Some(first)), "{text}");

    let inside = at.path().join("version-2");
    fs::write(inside.join("currentEpoch"), "0").unwrap();
    let before = contents(&inside);
    let (code, text, _) = data(&[&inside], true);
    assert_eq!(code, Some(1), "{text}");
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["apache"]["starts"], false);
    assert_eq!(document["vivarium"]["starts"], true);
    assert_eq!(document["current_epoch"], 0);
    assert_eq!(contents(&inside), before, "only looked at");
    assert!(contents(at.path()).is_empty(), "not even a lock is left behind");
}

#[test]
fn files_are_printed_entry_by_entry() {
    let folder = golden("standalone/version-2");
    let (code, text, _) = data(&[&folder.join("log.1")], true);
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, entries.len()), (Some(0), 118));
    assert_eq!(entries[2]["type"], "create");
    assert_eq!(entries[2]["data"], "x");
    assert_eq!(entries[4]["data"], serde_json::Value::Null);
    assert_eq!(entries[13]["parts"].as_array().unwrap().len(), 5, "a multi");
    let (code, text, _) = data(&[&folder.join("snapshot.0")], false);
    assert_eq!((code, text.lines().count()), (Some(0), 4), "{text}");
    assert!(text.starts_with("path=/ "), "{text}");

    let at = copy("standalone");
    let log = at.path().join("version-2/log.1");
    let mut bytes = fs::read(&log).unwrap();
    bytes[200] ^= 1;
    fs::write(&log, bytes).unwrap();
    let (code, text, errors) = data(&[&log], false);
    assert_eq!((code, text.lines().count()), (Some(1), 2));
    assert!(errors.contains("damaged at byte 138: checksum does not match"), "{errors}");
}

#[test]
fn what_is_no_data_is_wrong_usage() {
    let at = tempfile::tempdir().unwrap();
    let (code, _, errors) = data(&[&at.path().join("missing")], false);
    assert_eq!(code, Some(2), "{errors}");
    fs::write(at.path().join("myid"), "1").unwrap();
    let (code, _, errors) = data(&[&at.path().join("myid")], false);
    assert_eq!(code, Some(2));
    assert!(errors.contains("neither a transaction log (log.*) nor a snapshot"), "{errors}");
    let (code, text, _) = data(&[at.path()], false);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("with an empty tree"), "{text}");
}

#[test]
fn a_running_server_is_told_and_not_disturbed() {
    let mut server = Server::new(None, "");
    server.start();
    let mut client = server.connect();
    client.create("/a", "one");
    let folder = server.config().parent().unwrap().join("data");
    let (code, text, _) = data(&[&folder], false);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("note: a vivarium (process "), "{text}");
    client.create("/b", "two");
    let (_, text, _) = data(&[&folder], true);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["running"], &document["tree"]["znodes"]), (&true.into(), &6.into()));
}
