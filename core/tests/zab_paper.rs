//! The claims of Junqueira, Reed, Serafini, "Zab: High-performance broadcast for primary-backup
//! systems" (DSN 2011), and the invariants of Zab.tla, judged on many runs with faults.
#![allow(clippy::wildcard_enum_match_arm)]

#[path = "cluster/faults.rs"]
#[allow(dead_code)]
mod faults;
#[path = "cluster/harness/mod.rs"]
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::server::note::Note;

/// What one run left behind.
struct Run {
    seed: u64,
    servers: usize,
    /// (time, server, what it said), in order.
    notes: Vec<(u64, usize, Note)>,
    committed: Vec<Zxid>,
    /// State at the end, per server.
    last: Vec<Option<(Option<Zxid>, u64)>>,
}

fn runs() -> &'static [Run] {
    static RUNS: OnceLock<Vec<Run>> = OnceLock::new();
    RUNS.get_or_init(|| {
        let run = |seed| {
            let mut world = faults::run_kept(seed, true);
            let servers = world.nodes.len();
            let view = |node| world.view(node).map(|view| (view.applied, view.digest.full));
            let last = (0..servers).map(view).collect();
            let committed = world.audit.canon.keys().copied().collect();
            Run { seed, servers, notes: std::mem::take(&mut world.audit.notes), committed, last }
        };
        // Seeds of one server have no epochs.
        (5000..5120).map(run).filter(|run| run.servers > 1).collect()
    })
}

/// Section IV, phase 1: the prospective leader proposes an epoch greater than any that its quorum
/// has accepted.
#[test]
fn a_leader_proposes_an_epoch_greater_than_all_of_a_quorum() {
    let mut seen = 0;
    for run in runs() {
        let mut accepted = vec![Epoch::ZERO; run.servers];
        let mut at_birth: BTreeMap<Epoch, Vec<Epoch>> = BTreeMap::new();
        for (_, node, note) in &run.notes {
            match note {
                Note::EpochAccepted { epoch } => {
                    at_birth.entry(*epoch).or_insert_with(|| accepted.clone());
                    accepted[*node] = *epoch;
                }
                Note::Promised { epoch, by, .. } => {
                    let before = at_birth[epoch][by.0 as usize - 1];
                    assert!(before < *epoch, "seed {}: {by} had accepted {before}", run.seed);
                    seen += 1;
                }
                _ => {}
            }
        }
    }
    assert!(seen > 100, "the runs elect leaders");
}

/// Section IV, phase 1: a follower that accepted an epoch acknowledges no older one, and logs
/// nothing that an older leader sends.
#[test]
fn a_follower_accepts_nothing_of_an_older_epoch() {
    for run in runs() {
        let mut accepted = vec![Epoch::ZERO; run.servers];
        for (_, node, note) in &run.notes {
            match note {
                Note::EpochAccepted { epoch } => {
                    assert!(*epoch > accepted[*node], "seed {}", run.seed);
                    accepted[*node] = *epoch;
                }
                Note::Logged { source: epoch, .. }
                | Note::AckedNewLeader { epoch, .. }
                | Note::AckedTxn { epoch, .. } => {
                    assert!(*epoch >= accepted[*node], "seed {}: {note:?}", run.seed);
                }
                _ => {}
            }
        }
    }
}

/// Section IV, phase 1 and 2: the history that a leader establishes is that of the follower with
/// the greatest (currentEpoch, zxid) of a quorum.
#[test]
fn discovery_picks_the_greatest_current_epoch_then_zxid() {
    for run in runs() {
        let mut promised: BTreeMap<Epoch, BTreeMap<u64, (Epoch, Option<Zxid>)>> = BTreeMap::new();
        for (_, node, note) in &run.notes {
            match note {
                Note::Promised { epoch, by, last, current } => {
                    promised.entry(*epoch).or_default().insert(by.0, (*current, *last));
                }
                Note::Established { epoch, history } => {
                    let quorum = &promised[epoch];
                    let own = quorum[&(*node as u64 + 1)];
                    assert!(quorum.values().all(|other| *other <= own), "seed {}", run.seed);
                    assert_eq!(own.1, *history, "seed {}: the history grew", run.seed);
                }
                _ => {}
            }
        }
    }
}

/// Claim of section V: the initial history of an established leader contains every transaction
/// that was ever committed.
#[test]
fn an_established_history_contains_all_that_is_committed() {
    for run in runs() {
        let mut committed = Zxid::ZERO;
        for (_, _, note) in &run.notes {
            match note {
                Note::Committed { zxid } => committed = committed.max(*zxid),
                Note::Established { history, .. } => {
                    assert!(*history >= Some(committed), "seed {}: {committed:?}", run.seed);
                }
                _ => {}
            }
        }
    }
}

/// Phase 2, and `LeaderUnique` of Zab.tla: at most one leader of each epoch.
#[test]
fn an_epoch_has_one_leader() {
    for run in runs() {
        let mut leaders = BTreeMap::new();
        for (_, node, note) in &run.notes {
            if let Note::Established { epoch, .. } = note {
                let leader = leaders.entry(*epoch).or_insert(*node);
                assert_eq!(leader, node, "seed {}", run.seed);
            }
        }
    }
}

/// Section III, integrity: what is delivered was broadcast, as it is, and once.
#[test]
fn integrity() {
    for run in runs() {
        let mut proposed = BTreeMap::new();
        let mut applied = vec![BTreeSet::new(); run.servers];
        for (_, node, note) in &run.notes {
            match note {
                Note::Proposed { zxid, hash, .. } => {
                    assert!(proposed.insert(*zxid, *hash).is_none(), "seed {}", run.seed);
                }
                Note::Applied { zxid, hash, recovered: false, .. } => {
                    assert_eq!(proposed.get(zxid), Some(hash), "seed {}: {zxid:?}", run.seed);
                    assert!(applied[*node].insert(*zxid), "seed {}: {zxid:?} twice", run.seed);
                }
                // A new incarnation replays what it had delivered.
                Note::Recovered { .. } => applied[*node].clear(),
                _ => {}
            }
        }
    }
}

/// Section III, total order: any two servers deliver what both deliver in one order, and neither
/// misses what lies in between.
#[test]
fn total_order() {
    for run in runs() {
        let mut at: Vec<Option<Zxid>> = vec![None; run.servers];
        for (_, node, note) in &run.notes {
            match note {
                Note::Applied { zxid, recovered: false, .. } => {
                    let here = run.committed.binary_search(zxid).expect("it is committed");
                    let before = here.checked_sub(1).map(|index| run.committed[index]);
                    let from = at[*node].filter(|from| from.counter() > 0);
                    assert!(from.is_none() || from == before, "seed {}: {from:?}", run.seed);
                    at[*node] = Some(*zxid);
                }
                Note::SnapInstalled { zxid, .. } => at[*node] = Some(*zxid),
                Note::Recovered { last, .. } => at[*node] = *last,
                _ => {}
            }
        }
    }
}

/// Section III, agreement: what one server delivers, all deliver in the end.
#[test]
fn agreement() {
    for run in runs() {
        let newest = run.committed.last().copied();
        for last in &run.last {
            let (applied, digest) = last.expect("every server runs at the end");
            assert_eq!(applied, newest, "seed {}", run.seed);
            assert_eq!(Some(digest), run.last[0].map(|(_, digest)| digest), "seed {}", run.seed);
        }
    }
}

/// Section III, local primary order: a primary's transactions are delivered in its order, none
/// left out before one that is.
#[test]
fn local_primary_order() {
    for run in runs() {
        let mut newest: BTreeMap<Epoch, u32> = BTreeMap::new();
        for (_, _, note) in &run.notes {
            if let Note::Proposed { zxid, .. } = note {
                let last = newest.insert(zxid.epoch(), zxid.counter()).unwrap_or(0);
                assert_eq!(zxid.counter(), last + 1, "seed {}", run.seed);
            }
        }
        let mut committed: BTreeMap<Epoch, u32> = BTreeMap::new();
        for zxid in &run.committed {
            let last = committed.insert(zxid.epoch(), zxid.counter()).unwrap_or(0);
            assert_eq!(zxid.counter(), last + 1, "seed {}: a gap at {zxid:?}", run.seed);
        }
    }
}

/// Section III, global primary order: nobody delivers of an older primary behind a newer one.
#[test]
fn global_primary_order() {
    for run in runs() {
        let mut epoch = vec![Epoch::ZERO; run.servers];
        for (_, node, note) in &run.notes {
            match note {
                Note::Applied { zxid, recovered: false, .. } => {
                    assert!(zxid.epoch() >= epoch[*node], "seed {}: {zxid:?}", run.seed);
                    epoch[*node] = zxid.epoch();
                }
                Note::Recovered { .. } => epoch[*node] = Epoch::ZERO,
                _ => {}
            }
        }
    }
}

/// Section III, primary integrity: before a primary broadcasts, it has delivered all that earlier
/// epochs ever commit.
#[test]
fn primary_integrity() {
    for run in runs() {
        let mut applied = vec![Zxid::ZERO; run.servers];
        for (_, node, note) in &run.notes {
            match note {
                Note::Applied { zxid, .. } | Note::SnapInstalled { zxid, .. } => {
                    applied[*node] = *zxid;
                }
                Note::Recovered { last, .. } => applied[*node] = last.unwrap_or(Zxid::ZERO),
                Note::Proposed { zxid, .. } => {
                    let older = |known: &&Zxid| known.epoch() < zxid.epoch();
                    if let Some(owed) = run.committed.iter().rev().find(older) {
                        assert!(applied[*node] >= *owed, "seed {}: {owed:?}", run.seed);
                    }
                }
                _ => {}
            }
        }
    }
}
