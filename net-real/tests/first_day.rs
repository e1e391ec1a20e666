//! What people meet on their first day: each failure ends in one clear line, and in an exit code.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rig::{Client, Server, create, free_port, serve, until};

/// A start that is expected to fail: its exit code and its last line.
fn refused(config: &Path) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = serve(config, Stdio::piped()).wait_with_output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    (status.code(), text.lines().last().unwrap_or_default().to_owned())
}

/// Three server lines on free ports, the first of this rig's server.
fn three() -> String {
    let server = |id| format!("server.{id}=127.0.0.1:{}:{}\n", free_port(), free_port());
    (1..=3).map(server).collect()
}

#[test]
fn a_port_in_use() {
    let server = Server::new(None, "");
    let _taken = TcpListener::bind(("127.0.0.1", server.client_port)).unwrap();
    let expected = format!(
        "vivarium: {}:2: clientPort: the port for clients 127.0.0.1:{}: Address already in use (os \
         error 98); another process uses it; stop that one, or choose another port",
        server.config().display(),
        server.client_port
    );
    assert_eq!(refused(&server.config()), (Some(2), expected));
    let servers = three();
    let election = servers.lines().next().unwrap().rsplit(':').next().unwrap().to_owned();
    let server = Server::new(Some(1), &servers);
    let _taken = TcpListener::bind(format!("127.0.0.1:{election}")).unwrap();
    let (code, line) = refused(&server.config());
    let expected = format!("server.1: the election port 127.0.0.1:{election}: Address already");
    assert!(code == Some(2) && line.contains(&expected), "{line}");
}

#[test]
fn myid_that_is_missing_or_not_in_the_list() {
    let servers = three();
    let server = Server::new(None, &servers);
    let myid = server.config().with_file_name("data/myid");
    let expected = format!(
        "vivarium: {}: myid is missing; write this server's number into it, one of 1, 2, 3",
        myid.display()
    );
    assert_eq!(refused(&server.config()), (Some(2), expected));
    fs::write(&myid, "7\n").unwrap();
    let expected = format!(
        "vivarium: {}: myid '7' is not among the servers that are listed, 1, 2, 3; write the number \
         of this server, or add 'server.7=host:2888:3888'",
        myid.display()
    );
    assert_eq!(refused(&server.config()), (Some(2), expected));
}

#[test]
fn others_that_cannot_be_reached_are_named_and_tried_until_they_come() {
    let servers = three();
    let mut first = Server::new(Some(1), &servers);
    first.start();
    let line = |server: &Server, what: &str| {
        let log = server.log();
        log.lines().find(|line| line.contains(what)).map(str::to_owned)
    };
    for (id, entry) in servers.lines().enumerate().skip(1) {
        let port = entry.rsplit(':').next().unwrap();
        let what = format!(
            "server {} cannot be reached at 127.0.0.1:{port}: nothing listens there (connection \
             refused); trying again and again; start it, or correct its server line and firewalls",
            id + 1
        );
        until("the line of a missing server", || line(&first, &what));
    }
    until("whom the first start waits for", || line(&first, "until servers 2, 3 have shown"));
    let mut second = Server::new(Some(2), &servers);
    second.start();
    until("the second to be seen", || line(&first, "server 2 can be reached again"));
    until("whom it waits for now", || line(&first, "until server 3 has shown that it is new"));
    assert_eq!(first.log().matches("server 3 cannot be reached").count(), 1, "said once");
    let mut third = Server::new(Some(3), &servers);
    third.start();
    for server in [&first, &second, &third] {
        until("a quorum", || server.mode());
    }
    let log = first.log();
    let elected = log.lines().find(|line| line.contains("\"message\":\"elected\"")).unwrap();
    assert!(elected.contains("\"epoch\":\"0x0\"") && elected.contains("\"zxid\":\"0x0\""), "{log}");
    let ready = log.lines().find(|line| line.contains("ready: serving clients")).unwrap();
    assert!(ready.contains("\"epoch\":\"0x1\""), "{ready}");
}

/// A shell that runs `script` with a file system of its own of that size at `$DISK`. Without the
/// right to mount one, a limit on the size of files stands in: the kernel refuses alike.
fn on_a_small_disk(folder: &Path, script: &str) -> Child {
    let disk = folder.join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = "mount -t tmpfs -o size=512k tmpfs \"$DISK\"";
    let probe = ["-rm", "sh", "-c", mount];
    let mut unshare = Command::new("unshare");
    let may = unshare.args(probe).env("DISK", &disk).stderr(Stdio::null()).status();
    let mut command = if may.is_ok_and(|status| status.success()) {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &format!("{mount} && {script}")]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("trap '' XFSZ; ulimit -S -f 1024; {script}")]);
        command.env("LIMITED", "yes");
        command
    };
    command.env("DISK", &disk).env("VIVARIUM", env!("CARGO_BIN_EXE_vivarium"));
    command.env("CFG", folder.join("zoo.cfg"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn on_disk(folder: &Path, more: &str) -> u16 {
    let (port, disk) = (free_port(), folder.join("disk"));
    let text = format!(
        "dataDir={}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=500\n\
         preAllocSize=0\n4lw.commands.whitelist=*\n{more}",
        disk.display()
    );
    fs::write(folder.join("zoo.cfg"), text).unwrap();
    port
}

fn finish(mut child: Child) -> (ExitStatus, String) {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap(), text)
}

/// Creates nodes until the server is gone; how many were acknowledged.
fn fill(port: u16) -> usize {
    let mut client = until("a session", || Client::open(port, None));
    let data = "x".repeat(4000);
    let mut acknowledged = 0;
    while let Some(answer) = client.ask(&create(&format!("/n{acknowledged}"), &data)) {
        answer.unwrap();
        acknowledged += 1;
        assert!(acknowledged < 100_000, "the disk never fills");
    }
    acknowledged
}

#[test]
fn a_disk_that_fills_while_running_costs_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let port = on_disk(folder.path(), "");
    // What an operator does: makes room (here a ballast), and starts the server again.
    let script = "head -c 131072 /dev/zero > \"$DISK/ballast\"; \"$VIVARIUM\" serve \"$CFG\"; \
                  echo \"code $?\" >&2; rm \"$DISK/ballast\"; ulimit -S -f 8192; \
                  exec \"$VIVARIUM\" serve \"$CFG\"";
    let mut child = on_a_small_disk(folder.path(), script);
    let acknowledged = fill(port);
    assert!(acknowledged > 5, "{acknowledged}");
    let mut client = until("the server again", || Client::open(port, None));
    for index in 0..acknowledged {
        assert!(client.data(&format!("/n{index}")).is_some(), "/n{index} of {acknowledged}");
    }
    child.kill().unwrap();
    let (_, text) = finish(child);
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.iter().position(|line| *line == "code 1").unwrap_or_else(|| panic!("{text}"));
    let log = format!("{}/disk/data/version-2/log.1", folder.path().display());
    let expected = format!(
        "vivarium: no space left on the disk for {log}; nothing acknowledged is lost; free some \
         space, then start again"
    );
    assert_eq!(lines[end - 1], expected, "{text}");
}

#[test]
fn a_disk_that_is_full_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let servers = three();
    on_disk(folder.path(), &format!("initLimit=5\nsyncLimit=2\n{servers}"));
    let script = "mkdir -p \"$DISK/data/version-2\" && echo 1 > \"$DISK/data/myid\" && \
                  touch \"$DISK/data/initialize\"; cat /dev/zero > \"$DISK/ballast\" 2>/dev/null; \
                  [ -z \"$LIMITED\" ] || ulimit -S -f 0; exec \"$VIVARIUM\" serve \"$CFG\"";
    let (status, text) = finish(on_a_small_disk(folder.path(), script));
    assert_eq!(status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("vivarium: no space left on the disk for "), "{text}");
    assert!(last.ends_with("free some space, then start again"), "{text}");
}

#[test]
fn sigterm_while_recovering_ends_in_order() {
    let mut server = Server::new(Some(1), &three());
    let version_2 = server.config().with_file_name("data/version-2");
    fs::create_dir_all(&version_2).unwrap();
    // Reading it blocks until somebody writes: recovery stands still.
    let fifo = version_2.join("acceptedEpoch");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    server.start();
    until("recovery to begin", || {
        let lock = fs::read_to_string(server.config().with_file_name("data/.vivarium.lock"));
        lock.is_ok_and(|pid| pid.trim() == server.pid().to_string()).then_some(())
    });
    until("the stop", || {
        server.signal("TERM");
        server.log().contains("stopped while recovering").then_some(())
    });
    assert_eq!(server.exit().code(), Some(0), "{}", server.log());
}
