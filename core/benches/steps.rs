//! Steps of core per second of one core: the cluster harness of the tests, without a runtime or
//! checkers of its own beyond its audit, with both digests of the tree kept.
//!
//! `cargo bench -p vivarium-core --bench steps` prints one line for each workload.

#[path = "../tests/cluster/faults.rs"]
#[allow(dead_code)]
mod faults;
#[path = "../tests/cluster/harness/mod.rs"]
mod harness;

use std::ops::Range;
use std::time::{Duration, Instant};

use harness::world::{SECOND, World};

fn main() {
    // What a fresh process pays for its first pages is nobody's step.
    measure(100..150, faults::run);
    report("random faults, 1 to 5 servers", measure(0..400, faults::run));
    report("no faults, 5 servers, 16 busy clients", measure(0..20, busy));
}

/// Five servers that only work.
fn busy(seed: u64) -> World {
    let mut world = World::with_servers(seed, 5, |_| {});
    assert!(world.run_until(20 * SECOND, World::all_serve), "{}", faults::state(&world));
    world.hook = Some(faults::play);
    for _ in 0..16 {
        world.add_lively_client(3000);
    }
    world.run_for(10 * SECOND);
    world
}

struct Cost {
    steps: u64,
    events: u64,
    sim_seconds: f64,
    spent: Duration,
}

fn measure(seeds: Range<u64>, run: impl Fn(u64) -> World) -> Cost {
    let clock = start_clock();
    let mut cost = Cost { steps: 0, events: 0, sim_seconds: 0.0, spent: Duration::ZERO };
    for seed in seeds {
        let world = run(seed);
        cost.steps += world.core_steps;
        cost.events += world.steps;
        cost.sim_seconds += world.now as f64 / SECOND as f64;
    }
    cost.spent = clock.elapsed();
    cost
}

fn report(what: &str, cost: Cost) {
    let seconds = cost.spent.as_secs_f64();
    println!(
        "{what}: {:.2} million steps/s, {:.0} ns a step; {} steps, {} events, {:.0} times real time",
        cost.steps as f64 / seconds / 1e6,
        seconds * 1e9 / cost.steps as f64,
        cost.steps,
        cost.events,
        cost.sim_seconds / seconds,
    );
}

#[allow(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
fn start_clock() -> Instant {
    Instant::now()
}
