//! `vivarium dev`: the real binary with real servers, steered as from another terminal.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rig::{Client, create, until};
use serde_json::Value;
use tempfile::TempDir;

/// Where ensembles of one test register and keep their folders.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
        command.arg("dev").args(words).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", self.0.path()).env("TMPDIR", self.0.path());
        command.env_remove("VIVARIUM_DEV");
        command
    }

    /// Exit code, standard output, standard error.
    fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    fn must(&self, words: &[&str]) -> String {
        let (code, out, err) = self.run(words);
        assert_eq!(code, Some(0), "{words:?}: {out}{err}");
        out
    }

    /// The usage is wrong, and one line says how.
    fn refused(&self, words: &[&str]) -> String {
        let (code, out, err) = self.run(words);
        assert_eq!(code, Some(2), "{words:?}: {out}{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        err
    }

    /// Folders of ensembles that are there.
    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        entries.filter(|path| named(path).starts_with("vivarium-dev-")).collect()
    }

    fn registered(&self) -> usize {
        fs::read_dir(self.0.path().join("vivarium-dev")).unwrap().count()
    }
}

/// An ensemble that is ready. Killed when dropped.
struct Dev<'a> {
    place: &'a Place,
    name: String,
    child: Child,
    ready: Value,
    _out: Lines<BufReader<ChildStdout>>,
}

impl<'a> Dev<'a> {
    fn start(place: &'a Place, words: &[&str]) -> Self {
        let mut command = place.command(words);
        command.args(["-o", "json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = out.next().expect("an ensemble that is ready says so").unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let name = ready["name"].as_str().unwrap().to_owned();
        Self { place, name, child, ready, _out: out }
    }

    fn steer(&self, words: &[&str]) -> String {
        self.place.must(&[words, &["--name", &self.name]].concat())
    }

    fn refused(&self, words: &[&str]) -> String {
        self.place.refused(&[words, &["--name", &self.name]].concat())
    }

    /// One server as the status shows it.
    fn server(&self, number: u64) -> Value {
        let status: Value = serde_json::from_str(&self.steer(&["status", "-o", "json"])).unwrap();
        let servers = status["servers"].as_array().unwrap();
        servers.iter().find(|one| one["server"] == number).unwrap().clone()
    }

    fn state(&self, number: u64) -> String {
        self.server(number)["state"].as_str().unwrap().to_owned()
    }

    fn count(&self) -> u64 {
        self.ready["servers"].as_array().unwrap().len() as u64
    }

    fn leader_among(&self, among: &[u64]) -> Option<u64> {
        among.iter().copied().find(|&number| self.server(number)["mode"] == "leader")
    }

    fn leader(&self) -> u64 {
        until("a leader", || self.leader_among(&[1, 2, 3]))
    }

    fn others(&self, without: u64) -> Vec<u64> {
        (1..=self.count()).filter(|number| *number != without).collect()
    }

    fn port(&self, number: u64) -> u16 {
        let address = self.ready["servers"][number as usize - 1]["address"].as_str().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn client(&self, number: u64) -> Client {
        until("a session", || Client::open(self.port(number), None))
    }

    fn holds(&self, number: u64, path: &str) -> String {
        let mut client = self.client(number);
        until(path, || client.data(path))
    }

    fn pids(&self) -> Vec<u64> {
        (1..=self.count()).filter_map(|number| self.server(number)["pid"].as_u64()).collect()
    }

    fn signal(&self, name: &str) {
        signal(u64::from(self.child.id()), name);
    }

    fn exit(&mut self) -> Option<i32> {
        until("the end of vivarium dev", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Dev<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u64, name: &str) {
    let pid = pid.to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// The letter that the kernel shows: `R`, `S`, `T`, ..; `None` where there is no process, or only
/// what nobody has buried.
fn kernel_state(pid: u64) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit(") ").next()?.chars().next()?;
    (state != 'Z').then_some(state)
}

fn all_gone(pids: &[u64]) {
    assert!(!pids.is_empty());
    until("the end of all servers", || {
        pids.iter().all(|pid| kernel_state(*pid).is_none()).then_some(())
    });
}

#[test]
fn the_first_line_is_what_a_client_needs_and_ctrl_c_leaves_nothing() {
    let place = Place::new();
    let mut command = place.command(&[]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || out.next().unwrap().unwrap();
    let connect = line();
    assert!(line().starts_with("ready in "));
    assert!(line().starts_with("logs in "));
    let ports: Vec<u16> = connect
        .split(',')
        .map(|one| one.strip_prefix("127.0.0.1:").unwrap().parse().unwrap())
        .collect();
    assert_eq!(ports.len(), 3);
    Client::open(ports[0], None).unwrap().create("/a", "one");
    let mut far = Client::open(ports[2], None).unwrap();
    assert_eq!(until("/a", || far.data("/a")), "one");
    let status: Value = serde_json::from_str(&place.must(&["status", "-o", "json"])).unwrap();
    assert_eq!(status["connect"], connect);
    let servers = status["servers"].as_array().unwrap();
    let pids: Vec<_> = servers.iter().map(|one| one["pid"].as_u64().unwrap()).collect();
    signal(u64::from(child.id()), "INT");
    let end = until("the end", || child.try_wait().unwrap());
    assert_eq!(end.code(), Some(0));
    all_gone(&pids);
    assert_eq!(place.folders(), [] as [PathBuf; 0]);
    assert_eq!(place.registered(), 0);
    assert!(place.refused(&["status"]).starts_with("vivarium: no ensemble runs"));
}

#[test]
fn a_killed_leader_is_replaced_and_follows_when_it_is_started() {
    let place = Place::new();
    let dev = Dev::start(&place, &[]);
    let leader = dev.leader();
    dev.client(leader).create("/before", "kept");
    let pid = dev.server(leader)["pid"].as_u64().unwrap();
    let said = dev.steer(&["kill", "leader"]);
    assert_eq!(said, format!("server {leader} killed (pid {pid})\n"));
    assert_eq!(kernel_state(pid), None, "it is over when the command returns");
    assert_eq!(dev.state(leader), "killed");
    let rest = dev.others(leader);
    let new = until("a new leader", || dev.leader_among(&rest));
    dev.client(new).create("/after", "kept");
    let number = leader.to_string();
    let refused = dev.refused(&["kill", &number]);
    assert!(refused.contains("was killed; first: vivarium dev start"), "{refused}");
    let said = dev.steer(&["start", &number]);
    assert!(said.contains(&format!("{leader} is follower")), "{said}");
    assert_eq!(dev.holds(leader, "/before"), "kept");
    assert_eq!(dev.holds(leader, "/after"), "kept");
    assert_eq!(dev.leader(), new);
}

#[test]
fn a_server_is_stopped_in_order_and_started_again() {
    let place = Place::new();
    let dev = Dev::start(&place, &[]);
    let follower = dev.others(dev.leader())[0].to_string();
    let said = dev.steer(&["stop", &follower]);
    assert!(said.ends_with("exit code 0)\n"), "{said}");
    assert_eq!(dev.state(follower.parse().unwrap()), "stopped");
    let said = dev.steer(&["start", &follower]);
    assert!(said.contains("is follower"), "{said}");
    assert!(dev.refused(&["start", &follower]).contains("is running already"));
}

#[test]
fn a_paused_server_stands_still_until_it_is_resumed() {
    let place = Place::new();
    let dev = Dev::start(&place, &[]);
    let follower = dev.others(dev.leader())[0];
    let (number, pid) = (follower.to_string(), dev.server(follower)["pid"].as_u64().unwrap());
    assert!(dev.refused(&["resume", &number]).contains("is not paused"));
    dev.steer(&["pause", &number]);
    assert_eq!(kernel_state(pid), Some('T'));
    assert_eq!(dev.state(follower), "paused");
    assert!(dev.refused(&["stop", &number]).contains("is paused"));
    dev.steer(&["resume", &number]);
    assert_ne!(kernel_state(pid), Some('T'));
    assert_eq!(dev.state(follower), "running");
    until("it serves", || (dev.server(follower)["mode"] == "follower").then_some(()));
}

#[test]
fn a_wiped_server_is_filled_by_the_others() {
    let place = Place::new();
    let dev = Dev::start(&place, &[]);
    let leader = dev.leader();
    dev.client(leader).create("/kept", "yes");
    let follower = dev.others(leader)[0];
    let log = PathBuf::from(dev.server(follower)["log"].as_str().unwrap());
    let mark = log.with_file_name("data").join("version-2/mark");
    fs::write(&mark, "").unwrap();
    let said = dev.steer(&["wipe", &follower.to_string()]);
    assert!(said.contains("wiped and started blank"), "{said}");
    assert!(!mark.exists());
    assert_eq!(dev.holds(follower, "/kept"), "yes");
    assert_eq!(dev.leader(), leader, "a wiped server disturbs nobody");
}

#[test]
fn a_leader_behind_a_partition_serves_no_more_and_follows_after_the_heal() {
    let place = Place::new();
    let dev = Dev::start(&place, &[]);
    let old = dev.leader();
    let rest = dev.others(old);
    dev.client(old).create("/before", "kept");
    let mut connected = dev.client(old);
    let said = dev.steer(&["partition", "leader"]);
    assert!(said.contains(&format!("{old} does not serve")), "{said}");
    assert_eq!(connected.ask(&create("/lost", "x")), None, "its clients were closed");
    assert!(Client::open(dev.port(old), None).is_none(), "no session without a majority");
    let new = dev.leader_among(&rest).expect("the majority has elected");
    dev.client(new).create("/during", "kept");
    let status: Value = serde_json::from_str(&dev.steer(&["status", "-o", "json"])).unwrap();
    assert_eq!(status["cuts"].as_array().unwrap().len(), 4);
    let said = dev.steer(&["heal"]);
    assert!(said.contains(&format!("{old} is follower")), "{said}");
    for number in [old, rest[0], rest[1]] {
        assert_eq!(dev.holds(number, "/before"), "kept");
        assert_eq!(dev.holds(number, "/during"), "kept");
    }
}

#[test]
fn a_leader_that_is_not_heard_is_replaced() {
    let place = Place::new();
    let dev = Dev::start(&place, &[]);
    let old = dev.leader();
    let said: Value =
        serde_json::from_str(&dev.steer(&["partition", "--one-way", "leader", "-o", "json"]))
            .unwrap();
    let event = &said["events"][0];
    assert_eq!((&event["event"], &event["settled"]), (&"partitioned".into(), &true.into()));
    assert_eq!(event["not_serving"], Value::from(vec![old]));
    assert!(dev.leader_among(&dev.others(old)).is_some());
}

#[test]
fn a_partition_must_part_servers_that_are_there() {
    let place = Place::new();
    let dev = Dev::start(&place, &[]);
    assert!(dev.refused(&["partition", "1,2,3"]).contains("parted from nobody"));
    assert!(dev.refused(&["partition", "1", "1,2"]).contains("named twice"));
    assert!(dev.refused(&["partition", "4"]).contains("there is no server 4"));
    assert!(dev.refused(&["kill", "1", "7"]).contains("this ensemble has 1,2,3"));
    assert_eq!(dev.state(1), "running", "nothing is done where one part is wrong");
}

#[test]
fn the_end_reaches_paused_and_parted_servers_too() {
    let place = Place::new();
    let mut dev = Dev::start(&place, &[]);
    let follower = dev.others(dev.leader())[0].to_string();
    dev.steer(&["partition", &follower]);
    dev.steer(&["pause", &follower]);
    let pids = dev.pids();
    assert_eq!(pids.len(), 3);
    dev.signal("TERM");
    assert_eq!(dev.exit(), Some(0));
    all_gone(&pids);
    assert_eq!(place.folders(), [] as [PathBuf; 0]);
}

#[test]
fn a_closed_terminal_ends_it_unless_nohup_was_asked_for() {
    let place = Place::new();
    let binary = env!("CARGO_BIN_EXE_vivarium");
    for (shell, outlives) in [("exec", false), ("trap '' HUP; exec", true)] {
        let script = format!("{shell} {binary} dev --servers 1 -o json");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env("XDG_RUNTIME_DIR", place.0.path()).env("TMPDIR", place.0.path());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        out.next().unwrap().unwrap();
        signal(u64::from(child.id()), "HUP");
        if outlives {
            place.must(&["status"]);
            signal(u64::from(child.id()), "TERM");
        }
        let end = until("the end", || child.try_wait().unwrap());
        assert_eq!(end.code(), Some(0), "{shell}");
    }
}

#[test]
fn a_kill_of_the_parent_leaves_no_process_and_the_next_start_removes_its_folder() {
    let place = Place::new();
    let mut dev = Dev::start(&place, &[]);
    dev.steer(&["pause", "1"]);
    let pids = dev.pids();
    assert_eq!(pids.len(), 3);
    dev.signal("KILL");
    assert_eq!(dev.exit(), None);
    all_gone(&pids);
    assert_eq!(place.folders().len(), 1, "nobody was left to remove it");
    assert!(place.refused(&["status"]).starts_with("vivarium: no ensemble runs"));
    let next = Dev::start(&place, &["--servers", "1"]);
    assert_eq!(next.name, "dev", "the name is free again");
    assert_eq!(place.folders(), [PathBuf::from(next.ready["folder"].as_str().unwrap())]);
}

#[test]
fn a_command_runs_beside_its_ensemble_and_gives_its_exit_code() {
    let place = Place::new();
    let script = "echo $ZOOKEEPER_CONNECT; test $ZOOKEEPER_CONNECT = $VIVARIUM_CONNECT && \
                  $0 dev kill leader >&2 && exit 7";
    let binary = env!("CARGO_BIN_EXE_vivarium");
    // Another ensemble runs, yet the command finds its own.
    let other = Dev::start(&place, &["--servers", "1"]);
    let (code, out, err) = place.run(&["--", "sh", "-c", script, binary]);
    assert_eq!(code, Some(7), "{out}{err}");
    assert_eq!(out.trim().split(',').count(), 3, "{out}");
    assert!(err.contains("killed (pid "), "{err}");
    assert_eq!(place.folders().len(), 1);
    assert_eq!(other.state(1), "running");
    let missing = place.run(&["--", "/no/such/command"]);
    assert_eq!(missing.0, Some(2));
    assert!(missing.2.contains("/no/such/command: "), "{}", missing.2);
}

#[test]
fn a_signal_to_a_command_is_passed_on() {
    let place = Place::new();
    let script = "trap 'exit 9' TERM; echo ready; while :; do read -t 1 _ < /dev/zero; done";
    let mut command = place.command(&["--servers", "1", "--", "bash", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(out.next().unwrap().unwrap(), "ready");
    signal(u64::from(child.id()), "TERM");
    let end = until("the end", || child.try_wait().unwrap());
    assert_eq!(end.code(), Some(9));
}

#[test]
fn a_given_folder_keeps_the_data_for_the_next_time() {
    let place = Place::new();
    let folder = place.0.path().join("mine");
    let words = ["--dir", folder.to_str().unwrap()];
    for time in 0..2 {
        let mut dev = Dev::start(&place, &words);
        if time == 0 {
            dev.client(1).create("/kept", "yes");
        }
        assert_eq!(dev.holds(3, "/kept"), "yes");
        dev.signal("INT");
        assert_eq!(dev.exit(), Some(0));
        assert!(folder.join("server-1/log").exists());
    }
}

#[test]
fn names_and_ports_that_are_taken_are_one_clear_line() {
    let place = Place::new();
    let one = Dev::start(&place, &["--servers", "1"]);
    let two = Dev::start(&place, &["--servers", "1", "--name", "mine"]);
    let ambiguous = place.refused(&["kill", "1"]);
    assert!(ambiguous.contains("choose one with --name: dev, mine"), "{ambiguous}");
    assert!(place.refused(&["--name", "mine"]).contains("an ensemble named mine runs already"));
    assert!(place.refused(&["status", "--name", "other"]).contains("no ensemble named other"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = place.refused(&["--base-port", &port.to_string()]);
    assert!(refused.contains(&format!("client port 127.0.0.1:{port}: ")), "{refused}");
    assert_eq!((one.state(1), two.state(1)), ("running".into(), "running".into()));
    assert_eq!(place.folders().len(), 2, "what is refused leaves nothing");
}

#[test]
fn clients_find_their_servers_on_the_ports_that_were_asked_for() {
    let place = Place::new();
    let base = until("three free ports", || {
        let base = rig::free_port();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (base..base + 3).all(free).then_some(base)
    });
    let dev = Dev::start(&place, &["--base-port", &base.to_string()]);
    assert_eq!([1, 2, 3].map(|number| dev.port(number)), [base, base + 1, base + 2]);
    dev.client(2).create("/a", "one");
}

#[test]
fn a_server_that_ended_by_itself_is_shown_and_can_be_started() {
    let place = Place::new();
    let dev = Dev::start(&place, &[]);
    let follower = dev.others(dev.leader())[0];
    signal(dev.server(follower)["pid"].as_u64().unwrap(), "KILL");
    until("it is noticed", || (dev.state(follower) == "ended").then_some(()));
    dev.steer(&["start", &follower.to_string()]);
    assert_eq!(dev.state(follower), "running");
}

#[test]
fn an_ensemble_that_cannot_start_says_why() {
    let place = Place::new();
    let folder = place.0.path().join("mine");
    fs::create_dir_all(folder.join("server-2/data")).unwrap();
    fs::write(folder.join("server-2/data/version-2"), "a file where a folder belongs").unwrap();
    let (code, out, err) = place.run(&["--dir", folder.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("server 2 ended before it served"), "{err}");
    assert!(err.contains("mine/server-2/log:\n") && err.contains("version-2"), "its log: {err}");
    assert!(!err.contains("mine/server-1/log"), "the others have done nothing: {err}");
}

#[test]
fn a_folder_belongs_to_one_ensemble() {
    let place = Place::new();
    let folder = place.0.path().join("mine");
    let words = ["--servers", "1", "--dir", folder.to_str().unwrap()];
    let dev = Dev::start(&place, &words);
    let config = fs::read_to_string(folder.join("server-1/zoo.cfg")).unwrap();
    assert!(place.refused(&words).contains("another ensemble runs in this folder"));
    assert_eq!(fs::read_to_string(folder.join("server-1/zoo.cfg")).unwrap(), config);
    assert_eq!(dev.state(1), "running");
}

#[test]
fn a_server_alone_ends_with_a_parent_that_is_gone_before_it_looks() {
    let config = Path::new("/no/such/zoo.cfg").to_str().unwrap();
    let binary = env!("CARGO_BIN_EXE_vivarium");
    let words = ["serve", config, "--exit-with-parent", "1"];
    let output = Command::new(binary).args(words).output().unwrap();
    // This test is never run by process 1.
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("process 1, which started"));
}
