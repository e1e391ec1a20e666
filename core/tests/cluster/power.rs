//! Power is cut behind every single operation of a server's disk, and again behind every write of
//! the recovery that follows. Snapshots, log rolls, a TRUNC and a SNAP are part of the runs.

use vivarium_core::config::Config;

use crate::faults::{heal_and_check, play};
use crate::harness::disk::{SURVIVORS, Survivors};
use crate::harness::world::{MS, SECOND, World};

fn tune(config: &mut Config) {
    config.snap_count = 10;
    config.commit_log_count = 3;
    config.pre_alloc_bytes = 1024;
    config.append_batch_bytes = 512;
    config.snap_retain_count = 3;
}

/// A calmer client, so that a run has few operations and each can be tried.
fn stroll(world: &mut World, client: usize) {
    if world.rng.one_in(4) || world.book.stop {
        play(world, client);
    }
}

fn start(seed: u64, servers: u64, victim: usize, cuts: &[(u64, Survivors)]) -> World {
    let mut world = World::new(seed, servers, 0, tune);
    world.nodes[victim].cuts.extend(cuts.iter().copied());
    for node in 0..world.nodes.len() {
        world.boot(node);
    }
    world.run_until(10 * SECOND, World::all_serve);
    world.hook = Some(stroll);
    for _ in 0..2 {
        world.add_lively_client(3000);
    }
    world
}

fn boot_if_down(world: &mut World, node: usize) {
    if world.nodes[node].server.is_none() {
        world.boot(node);
    }
}

/// Writes, a restart, writes.
fn alone(cuts: &[(u64, Survivors)]) -> World {
    let mut world = start(7, 0, 0, cuts);
    for _ in 0..3 {
        world.run_for(700 * MS);
        world.kill(0);
        boot_if_down(&mut world, 0);
    }
    world.run_for(500 * MS);
    world
}

/// The first leader is cut off with proposals that nobody else has (TRUNC follows), then away
/// until its peers have purged what it lacks (SNAP follows).
fn deposed(cuts: &[(u64, Survivors)]) -> World {
    let victim = 2;
    let mut world = start(8, 3, victim, cuts);
    world.run_for(400 * MS);
    for other in 0..2 {
        world.block(victim, other);
        world.block(other, victim);
    }
    world.run_for(1800 * MS);
    world.heal_network();
    world.run_for(SECOND);
    world.kill(victim);
    world.run_for(6 * SECOND);
    boot_if_down(&mut world, victim);
    world.run_for(SECOND);
    world
}

/// The victim's log is replaced by a SNAP; then it leads, and a server comes back whose history
/// ends inside what the victim never logged.
fn replaced(cuts: &[(u64, Survivors)]) -> World {
    let (late, victim) = (3, 4);
    let mut world = start(7, 5, victim, cuts);
    world.run_for(500 * MS);
    world.kill(victim);
    world.book.mark = world.nodes[victim].disk.ops;
    world.run_for(1500 * MS);
    world.kill(late);
    world.run_for(6 * SECOND);
    // Purging would remove the remains of the older log in time.
    world.nodes[victim].config.snap_retain_count = 0;
    world.boot(victim);
    world.run_for(600 * MS);
    world.book.end = Some(world.nodes[victim].disk.ops);
    for node in 0..3 {
        world.kill(node);
    }
    for node in [0, 1, 2, victim] {
        boot_if_down(&mut world, node);
    }
    world.run_for(SECOND);
    world.boot(late);
    world.run_for(SECOND);
    world
}

fn finish(mut world: World) -> World {
    heal_and_check(&mut world);
    world
}

/// Every operation of the victim, each with several choices of what survives; then every write
/// of the recovery too. Returns how many runs that were.
fn exhaust(victim: usize, survivors: &[Survivors], run: fn(&[(u64, Survivors)]) -> World) -> u64 {
    let calm = run(&[]);
    let operations = calm.book.end.unwrap_or(calm.nodes[victim].disk.ops);
    let mut runs = 0;
    let mut attempt = |cuts: &[(u64, Survivors)]| {
        runs += 1;
        let result = std::panic::catch_unwind(|| finish(run(cuts)));
        result.unwrap_or_else(|_| panic!("a cut run failed: {cuts:?}"))
    };
    for k in calm.book.mark..operations {
        for &first in survivors {
            attempt(&[(k, first)]);
        }
        // The recovery's own writes; what the first cut leaves alternates.
        let first = survivors[k as usize % survivors.len()];
        for j in 0.. {
            let second = survivors[(k + j) as usize % survivors.len()];
            let world = attempt(&[(k, first), (k + j, second)]);
            if world.nodes[victim].cuts_in_recovery.get(1) != Some(&true) {
                break;
            }
        }
    }
    runs
}

fn cuts_from_environment() -> Option<Vec<(u64, Survivors)>> {
    let text = std::env::var("CUTS").ok()?;
    let cut = |part: &str| {
        let (ops, which) = part.split_once(':').expect("CUTS=ops:Survivors,..");
        let which = SURVIVORS.iter().find(|s| format!("{s:?}") == which).expect("known survivors");
        (ops.parse().expect("a number"), *which)
    };
    Some(text.split(',').map(cut).collect())
}

/// `CUTS=12:Some,14:Nothing` runs one.
#[test]
fn a_standalone_server_survives_a_power_cut_at_every_operation() {
    if let Some(cuts) = cuts_from_environment() {
        finish(alone(&cuts));
        return;
    }
    let calm = finish(alone(&[]));
    assert!(calm.audit.snapshots > 1, "the run has snapshots");
    let runs = exhaust(0, &SURVIVORS, alone);
    println!("{} operations, {runs} runs", calm.nodes[0].disk.ops);
}

/// `CUTS=12:Some,14:Nothing` runs one.
#[test]
fn a_voter_survives_a_power_cut_at_every_operation() {
    if let Some(cuts) = cuts_from_environment() {
        finish(deposed(&cuts));
        return;
    }
    let calm = finish(deposed(&[]));
    let audit = &calm.audit;
    assert!(audit.snapshots > 3, "the run has snapshots");
    assert!(audit.truncated > 0 && audit.installed > 0, "{:?}", audit.syncs);
    let runs = exhaust(2, &SURVIVORS[..3], deposed);
    println!("{} operations, {runs} runs", calm.nodes[2].disk.ops);
}

/// `CUTS=12:Some,14:Nothing` runs one.
#[test]
fn a_snap_that_is_cut_off_leaves_no_hole_to_serve_from() {
    if let Some(cuts) = cuts_from_environment() {
        finish(replaced(&cuts));
        return;
    }
    let calm = finish(replaced(&[]));
    assert!(calm.audit.installed > 0, "{:?}", calm.audit.syncs);
    let runs = exhaust(4, &SURVIVORS[1..4], replaced);
    println!("{:?} operations, {runs} runs", calm.book.mark..calm.book.end.unwrap_or(0));
}
