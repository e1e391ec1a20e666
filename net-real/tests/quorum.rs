//! Three real servers: elections, kills and pauses.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use rig::{Client, Server, create, free_port, until};

struct Quorum {
    servers: Vec<Server>,
}

impl Quorum {
    fn start() -> Self {
        let lines: String = (1..=3)
            .map(|id| format!("server.{id}=127.0.0.1:{}:{}\n", free_port(), free_port()))
            .collect();
        let mut servers: Vec<_> = (1..=3).map(|id| Server::new(Some(id), &lines)).collect();
        servers.iter_mut().for_each(Server::start);
        let quorum = Self { servers };
        quorum.leader();
        quorum
    }

    fn leader(&self) -> usize {
        until("a leader", || self.find_leader(&[0, 1, 2]))
    }

    fn find_leader(&self, among: &[usize]) -> Option<usize> {
        let leads = |index: &usize| self.servers[*index].mode().as_deref() == Some("leader");
        among.iter().copied().find(leads)
    }

    fn others(&self, without: usize) -> Vec<usize> {
        (0..3).filter(|index| *index != without).collect()
    }

    /// Creates the node through any of the servers; a node that exists was created by an attempt
    /// whose answer was lost.
    fn write(&self, among: &[usize], path: &str) {
        until(path, || {
            among.iter().find_map(|&index| {
                let mut client = Client::open(self.servers[index].client_port, None)?;
                client.ask(&create(path, "kept"))
            })
        })
        .map_or_else(|code| assert_eq!(format!("{code:?}"), "NodeExists"), |_| ());
    }

    fn must_hold(&self, index: usize, paths: &[String]) {
        let mut client = self.servers[index].connect();
        for path in paths {
            // A follower may lag; what it holds it keeps.
            until(path, || client.data(path));
        }
    }
}

fn paths(prefix: &str) -> Vec<String> {
    (0..20).map(|index| format!("/{prefix}-{index}")).collect()
}

#[test]
fn writes_survive_the_death_of_the_leader() {
    let mut quorum = Quorum::start();
    let mut written = Vec::new();
    for round in 0..2 {
        let leader = quorum.leader();
        let mut client = quorum.servers[leader].connect();
        for path in paths(&format!("before-{round}")) {
            client.create(&path, "kept");
            written.push(path);
        }
        quorum.servers[leader].kill();
        let rest = quorum.others(leader);
        for path in paths(&format!("after-{round}")) {
            quorum.write(&rest, &path);
            written.push(path);
        }
        quorum.servers[leader].start();
        for index in 0..3 {
            quorum.must_hold(index, &written);
        }
    }
}

#[test]
fn a_leader_that_stands_still_is_replaced_and_follows_when_it_wakes() {
    let quorum = Quorum::start();
    let leader = quorum.leader();
    let mut written = paths("before");
    let mut client = quorum.servers[leader].connect();
    written.iter().for_each(|path| drop(client.create(path, "kept")));
    quorum.servers[leader].signal("STOP");
    let rest = quorum.others(leader);
    until("a new leader", || quorum.find_leader(&rest));
    for path in paths("after") {
        quorum.write(&rest, &path);
        written.push(path);
    }
    quorum.servers[leader].signal("CONT");
    until("the old leader follows", || {
        (quorum.servers[leader].mode()? == "follower").then_some(())
    });
    for index in 0..3 {
        quorum.must_hold(index, &written);
    }
}

#[test]
fn a_follower_whose_disk_was_wiped_is_filled_by_its_peers() {
    let mut quorum = Quorum::start();
    let leader = quorum.leader();
    let written = paths("kept");
    let mut client = quorum.servers[leader].connect();
    written.iter().for_each(|path| drop(client.create(path, "kept")));
    let follower = quorum.others(leader)[0];
    quorum.servers[follower].kill();
    quorum.servers[follower].wipe();
    quorum.servers[follower].start();
    quorum.must_hold(follower, &written);
    assert_eq!(quorum.leader(), leader, "a wiped server disturbs nobody");
    quorum.servers[leader].kill();
    quorum.must_hold(follower, &written);
}

#[test]
fn every_server_stops_in_order() {
    let mut quorum = Quorum::start();
    for index in 0..3 {
        quorum.servers[index].signal("TERM");
        let status = quorum.servers[index].exit();
        assert_eq!(status.code(), Some(0), "server {index}");
    }
}
