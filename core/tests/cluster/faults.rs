//! A workload with random faults, then healing and a look at everything that was acknowledged.

use std::collections::BTreeMap;

use vivarium_core::wire::client::{Op, ReplyBody, WriteOp};
use vivarium_core::wire::code::Code;

use crate::harness::client::{Outcome, State, children, create, data_of, get, set, sync};
use crate::harness::disk::SURVIVORS;
use crate::harness::world::{MS, SECOND, World};

const KEYS: u64 = 3;
const TAG_SYNC: u64 = 1 << 40;

/// One move of a client: writes its own key, adds a sequential node, reads what others wrote.
pub(crate) fn play(world: &mut World, client: usize) {
    collect(world, client);
    let this = &world.clients[client];
    if world.book.stop || this.state != State::Live || this.outstanding() > 3 {
        return;
    }
    match world.rng.below(8) {
        0..=3 => {
            let path = key(client);
            let value = world.book.sent.get(&path).map_or(0, |value| value + 1);
            let known = world.book.acked.contains_key(&path);
            world.book.sent.insert(path.clone(), value);
            let text = value.to_string();
            let op = if known { set(&path, &text) } else { create(&path, &text, 0) };
            world.ask(client, op, value);
        }
        4 => {
            let value = world.rng.next();
            world.book.tried.insert(value.to_string());
            world.ask(client, create("/seq-", &value.to_string(), 2), value);
        }
        5 => {
            let path = format!("/eph-{client}-");
            world.ask(client, create(&path, "", 3), 0);
        }
        _ => {
            let mark = world.steps | TAG_SYNC;
            world.book.floors.insert(mark, world.book.acked.clone());
            world.ask(client, sync("/"), mark);
            let other = world.rng.below(KEYS) as usize;
            world.ask(client, get(&key(other), false), mark);
        }
    }
}

fn key(client: usize) -> String {
    format!("/key-{client}")
}

fn collect(world: &mut World, client: usize) {
    while let Some(done) = world.clients[client].finished.pop_front() {
        let Outcome::Reply { code, body, .. } = &done.outcome else { continue };
        world.book.replies += 1;
        match (&done.op, code) {
            (Op::Write(WriteOp::Create(made)), Code::Ok) => {
                let ReplyBody::Path(path) = body else { panic!("a path answers create") };
                if made.flags == 2 {
                    let again = world.book.made.insert(path.clone(), done.tag.to_string());
                    assert!(again.is_none(), "{path} was made twice");
                } else if made.flags == 0 {
                    raise(&mut world.book.acked, path, done.tag);
                }
            }
            (Op::Write(WriteOp::Create(made)), Code::NodeExists) => {
                // An earlier attempt whose answer was lost: writing goes on with set.
                world.book.acked.entry(made.path.clone()).or_insert(0);
            }
            (Op::Write(WriteOp::SetData { path, .. }), Code::Ok) => {
                raise(&mut world.book.acked, path, done.tag);
            }
            (Op::Read(_), Code::Ok) if done.tag & TAG_SYNC != 0 => {
                let path = path_of(&done.op);
                let seen: u64 = data_of(&done.outcome).and_then(|s| s.parse().ok()).expect("data");
                let floor = world.book.floors.remove(&done.tag).unwrap_or_default();
                let floor = floor.get(&path).copied().unwrap_or(0);
                assert!(seen >= floor, "sync, then {path} shows {seen}, {floor} was acknowledged");
                assert!(seen <= world.book.sent[&path], "{path} shows {seen}, never written");
            }
            (Op::Read(_), Code::NoNode) => {
                let path = path_of(&done.op);
                let floor = world.book.floors.remove(&done.tag).unwrap_or_default();
                assert!(!floor.contains_key(&path), "{path} is gone after a sync");
            }
            (Op::Sync { .. }, Code::Ok) | (_, Code::SessionMoved | Code::SessionExpired) => {}
            (op, code) => panic!("client {client}: {code:?} answers {op:?}"),
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)]
fn path_of(op: &Op) -> String {
    let Op::Read(vivarium_core::wire::client::ReadOp::GetData { path, .. }) = op else {
        panic!("only getData is used here, not {op:?}")
    };
    path.clone()
}

fn raise(book: &mut BTreeMap<String, u64>, path: &str, value: u64) {
    let known = book.entry(path.to_owned()).or_insert(value);
    *known = value.max(*known);
}

/// One fault, or the end of one.
fn fault(world: &mut World) {
    let count = world.nodes.len() as u64;
    let node = world.rng.below(count) as usize;
    let up = world.nodes[node].server.is_some();
    match world.rng.below(10) {
        0 => world.kill(node),
        1 | 2 if up => {
            let survivors = *world.rng.pick(&SURVIVORS);
            world.power_cut(node, survivors);
        }
        3 => world.pause(node),
        4 => world.resume(node),
        5 => {
            let other = world.rng.below(count) as usize;
            if other != node {
                world.block(node, other);
                if world.rng.one_in(2) {
                    world.block(other, node);
                }
            }
        }
        6 => world.heal_network(),
        7 if up => {
            // At one of the next operations of the disk: where persistence is at stake.
            let ops = world.nodes[node].disk.ops + world.rng.range(1, 12);
            let survivors = *world.rng.pick(&SURVIVORS);
            world.nodes[node].cuts.push_back((ops, survivors));
        }
        8 if world.rng.one_in(4) => {
            let survivors = *world.rng.pick(&SURVIVORS);
            for node in 0..world.nodes.len() {
                if world.nodes[node].server.is_some() {
                    world.power_cut(node, survivors);
                }
            }
        }
        _ => {
            if !up {
                world.boot(node);
            }
        }
    }
}

pub(crate) fn heal_and_check(world: &mut World) {
    world.book.stop = true;
    world.heal();
    let serves = world.run_until(60 * SECOND, World::all_serve);
    assert!(serves, "all serve after healing: {}", state(world));
    world.run_for(2 * SECOND);
    assert!(world.all_serve(), "and go on serving: {}", state(world));
    for client in 0..world.clients.len() {
        collect(world, client);
    }
    for node in 0..world.nodes.len() {
        // A planned epoch change may come in between.
        let read = (0..5).any(|_| {
            let read = read_back(world, node).is_some();
            world.run_for(if read { 0 } else { SECOND });
            read
        });
        assert!(read, "s{} takes a client: {}", node + 1, state(world));
    }
    world.run_for(SECOND);
    let views: Vec<_> = (0..world.nodes.len()).filter_map(|node| world.view(node)).collect();
    for view in &views {
        assert_eq!((view.applied, view.digest), (views[0].applied, views[0].digest));
    }
}

/// Reads on that server all that was acknowledged. `None` where the connection broke.
pub(crate) fn read_back(world: &mut World, node: usize) -> Option<()> {
    let client = world.add_client(4000);
    if !world.join_and_wait(client, node) {
        return None;
    }
    world.try_call(client, sync("/"))?;
    for (path, floor) in world.book.acked.clone() {
        let read = world.try_call(client, get(&path, false))?;
        let seen = data_of(&read.outcome).and_then(|text| text.parse::<u64>().ok());
        let sent = world.book.sent[&path];
        assert!(
            seen.is_some_and(|seen| seen >= floor && seen <= sent),
            "s{} shows {seen:?} at {path}, {floor} was acknowledged",
            node + 1
        );
    }
    for (path, data) in world.book.made.clone() {
        let read = world.try_call(client, get(&path, false))?;
        assert_eq!(data_of(&read.outcome), Some(data), "s{} lost {path}", node + 1);
    }
    let listing = world.try_call(client, children("/"))?;
    let Outcome::Reply { body: ReplyBody::Children(names), .. } = listing.outcome else {
        panic!("children answer getChildren")
    };
    for name in names.iter().filter(|name| name.starts_with("seq-")) {
        let path = format!("/{name}");
        if !world.book.made.contains_key(&path) {
            let data = data_of(&world.try_call(client, get(&path, false))?.outcome);
            let tried = data.is_some_and(|data| world.book.tried.contains(&data));
            assert!(tried, "s{} invented {path}", node + 1);
        }
    }
    world.try_call(client, Op::CloseSession)?;
    Some(())
}

pub(crate) fn state(world: &World) -> String {
    let view = |node| {
        world
            .view(node)
            .map(|view| (view.phase, view.accepted, view.current, view.logged, view.committed))
    };
    (0..world.nodes.len()).map(|node| format!("s{}: {:?} ", node + 1, view(node))).collect()
}

fn tune(config: &mut vivarium_core::config::Config, seed: u64) {
    let mut rng = crate::harness::rng::Rng::new(seed ^ 0x00c0_ffee);
    config.snap_count = rng.range(4, 60);
    config.commit_log_count = rng.range(2, 40) as usize;
    config.pre_alloc_bytes = *rng.pick(&[0, 512, 4096]);
    config.append_batch_bytes = *rng.pick(&[512, 1024, 4096]);
    config.snap_retain_count = *rng.pick(&[0, 3, 3]);
    config.zxid_counter_limit = *rng.pick(&[60, 400, u32::MAX]);
    config.separate_log_dir = rng.one_in(4);
    config.link_high_water_bytes = *rng.pick(&[1024, 8192, 65536]);
}

pub(crate) fn run(seed: u64) -> World {
    run_kept(seed, false)
}

/// As `run`; `keep` holds all notes for a later judgement.
pub(crate) fn run_kept(seed: u64, keep: bool) -> World {
    let mut rng = crate::harness::rng::Rng::new(seed ^ 0xfa17);
    let (servers, observers) = *rng.pick(&[(3, 0), (3, 0), (3, 0), (3, 1), (5, 0), (0, 0)]);
    let mut world = World::new(seed, servers, observers, |config| tune(config, seed));
    world.audit.keep = keep;
    for node in 0..world.nodes.len() {
        world.boot(node);
    }
    assert!(world.run_until(20 * SECOND, World::all_serve), "first start: {}", state(&world));
    world.hook = Some(play);
    for _ in 0..KEYS {
        world.add_lively_client(3000);
    }
    for _ in 0..world.rng.range(3, 14) {
        let span = world.rng.range(20 * MS, 1500 * MS);
        world.run_for(span);
        fault(&mut world);
    }
    let span = world.rng.range(0, SECOND);
    world.run_for(span);
    heal_and_check(&mut world);
    world
}
