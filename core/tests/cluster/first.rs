//! The plain paths: one server, three servers, a client.

use vivarium_core::server::note::Phase;
use vivarium_core::wire::client::{EventKind, Op};
use vivarium_core::wire::code::Code;

use crate::harness::client::{code_of, create, data_of, get, set, sync};
use crate::harness::world::{SECOND, World};

#[test]
fn a_standalone_server_serves_a_client() {
    let mut world = World::with_servers(1, 0, |_| {});
    assert!(world.run_until(SECOND, World::all_serve), "it serves");
    let client = world.add_client(4000);
    assert!(world.join_and_wait(client, 0));
    assert_eq!(code_of(&world.call(client, create("/a", "one", 0)).outcome), Some(Code::Ok));
    assert_eq!(data_of(&world.call(client, get("/a", true)).outcome).as_deref(), Some("one"));
    assert_eq!(code_of(&world.call(client, set("/a", "two")).outcome), Some(Code::Ok));
    assert_eq!(world.clients[client].events.len(), 1);
    assert_eq!(world.clients[client].events[0].0, EventKind::NodeDataChanged);
    assert_eq!(code_of(&world.call(client, sync("/a")).outcome), Some(Code::Ok));
    assert_eq!(data_of(&world.call(client, get("/a", false)).outcome).as_deref(), Some("two"));
    assert_eq!(code_of(&world.call(client, Op::CloseSession).outcome), Some(Code::Ok));
    world.kill(0);
    world.boot(0);
    let client = world.add_client(4000);
    assert!(world.join_and_wait(client, 0));
    assert_eq!(data_of(&world.call(client, get("/a", false)).outcome).as_deref(), Some("two"));
}

/// `standaloneEnabled=false` with one member: it is a quorum alone, in every epoch anew.
#[test]
fn an_ensemble_of_one_serves_and_leads_again_after_a_restart() {
    let mut world = World::with_servers(3, 1, |_| {});
    for life in 0..3 {
        assert!(world.run_until(10 * SECOND, World::all_serve), "it serves in life {life}");
        let client = world.add_client(4000);
        assert!(world.join_and_wait(client, 0));
        let path = format!("/life-{life}");
        let made = world.call(client, create(&path, "mine", 0));
        assert_eq!(code_of(&made.outcome), Some(Code::Ok));
        assert_eq!(code_of(&world.call(client, sync("/")).outcome), Some(Code::Ok));
        let first = world.call(client, get("/life-0", false));
        assert_eq!(data_of(&first.outcome).as_deref(), Some("mine"));
        world.kill(0);
        world.boot(0);
    }
}

#[test]
fn three_servers_start_from_nothing_and_serve() {
    let mut world = World::with_servers(2, 3, |_| {});
    assert!(world.run_until(10 * SECOND, World::all_serve), "they serve");
    let clients: Vec<usize> = (0..3).map(|_| world.add_client(4000)).collect();
    for &client in &clients {
        assert!(world.join_and_wait(client, client));
        let path = format!("/from-{client}");
        let made = world.call(client, create(&path, "mine", 0));
        assert_eq!(code_of(&made.outcome), Some(Code::Ok));
    }
    for &client in &clients {
        assert_eq!(code_of(&world.call(client, sync("/")).outcome), Some(Code::Ok));
        for other in &clients {
            let path = format!("/from-{other}");
            let read = world.call(client, get(&path, false));
            assert_eq!(data_of(&read.outcome).as_deref(), Some("mine"));
        }
    }
    let views: Vec<_> = (0..3).map(|node| world.view(node).expect("up")).collect();
    assert!(views.iter().all(|view| view.digest == views[0].digest));
}

#[test]
fn a_leader_that_serves_nobody_leads_all_the_same() {
    let mut world = World::with_servers(3, 3, |config| config.leader_serves = false);
    let leads = |world: &World, node: usize| {
        world.view(node).is_some_and(|view| view.phase == Phase::LeadingBroadcast)
    };
    let followers_serve = |world: &World| {
        let leader = (0..3).find(|node| leads(world, *node));
        leader.is_some_and(|leader| {
            let mut others = (0..3).filter(|node| *node != leader);
            others.all(|node| world.view(node).is_some_and(|view| view.serving))
        })
    };
    assert!(world.run_until(10 * SECOND, followers_serve), "the followers serve");
    let leader = (0..3).find(|node| leads(&world, *node)).expect("it was seen");
    assert!(!world.view(leader).expect("up").serving);
    let client = world.add_client(4000);
    assert!(world.join_and_wait(client, (leader + 1) % 3));
    let made = world.call(client, create("/a", "one", 0));
    assert_eq!(code_of(&made.outcome), Some(Code::Ok));
}
