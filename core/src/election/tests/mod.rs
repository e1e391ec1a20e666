//! Elections of whole ensembles on a network of the tests.

mod looking;
mod net;
mod wires;

use alloc::vec::Vec;

use net::Net;

use super::*;

fn best(histories: &[(u32, Option<u64>)]) -> u64 {
    (1..)
        .zip(histories)
        .filter_map(|(id, &(epoch, zxid))| Some((epoch, zxid?, id)))
        .max()
        .map(|(_, _, id)| id)
        .unwrap()
}

fn draw_histories(prng: &mut Prng, voters: u64) -> Vec<(u32, Option<u64>)> {
    (0..voters).map(|_| (prng.below(3) as u32, Some(prng.below(3)))).collect()
}

fn seconds(n: u64) -> Span {
    Span::from_ms(n * 1000)
}

#[test]
fn undisturbed_the_best_history_leads_after_one_round() {
    for seed in 0..2000 {
        let mut prng = Prng::from_seed([seed as u8; 32]);
        let voters = 1 + seed % 5;
        let histories = draw_histories(&mut prng, voters);
        let mut net = Net::new(seed, &histories, seed % 3);
        net.boot_all();
        let all: Vec<u64> = net.nodes.keys().copied().collect();
        let end = net.now + seconds(3);
        assert!(net.run_until(end, |net| net.agreed(all.clone()).is_some()), "seed {seed}");
        assert_eq!(net.agreed(all), Some(best(&histories)), "seed {seed}: {histories:?}");
    }
}

#[test]
fn unanimous_servers_do_not_wait() {
    let mut net = Net::new(1, &[(1, Some(5)), (1, Some(5)), (1, Some(5))], 0);
    net.boot_all();
    let end = net.now + Span::from_ms(199);
    assert!(net.run_until(end, |net| net.agreed(1..=3) == Some(3)));
    // A server that refuses connections is away; one that is silent may be about to answer.
    let mut net = Net::new(2, &[(1, Some(5)), (1, Some(5)), (1, Some(5))], 0);
    net.boot(1);
    net.boot(2);
    let end = net.now + Span::from_ms(199);
    assert!(net.run_until(end, |net| net.agreed(1..=2) == Some(2)));
    let mut net = Net::new(3, &[(1, Some(5)), (1, Some(5)), (1, Some(5))], 0);
    net.nodes.get_mut(&3).unwrap().black_hole = true;
    net.boot(1);
    net.boot(2);
    let end = net.now + Span::from_ms(199);
    assert!(!net.run_until(end, |net| net.agreed(1..=2).is_some()));
}

#[test]
fn a_dead_or_silent_peer_does_not_slow_the_others() {
    // ZOOKEEPER-822.
    for seed in 0..500 {
        let mut net = Net::new(seed, &[(1, Some(5)); 5], 0);
        net.nodes.get_mut(&(1 + seed % 5)).unwrap().black_hole = true;
        let live: Vec<u64> = (1..=5).filter(|id| *id != 1 + seed % 5).collect();
        net.boot_all();
        let end = net.now + Span::from_ms(600);
        let want = live.last().copied();
        assert!(net.run_until(end, |net| net.agreed(live.clone()) == want), "seed {seed}");
    }
}

#[test]
fn mixed_epochs_never_cycle() {
    // ZOOKEEPER-1419: equal zxid, higher id, lower epoch.
    for seed in 0..500 {
        let histories = [(3, Some(1)), (2, Some(1)), (1, Some(9)), (2, Some(1)), (1, Some(1))];
        let mut net = Net::new(seed, &histories, 0);
        net.boot_all();
        let end = net.now + seconds(2);
        assert!(net.run_until(end, |net| net.agreed(1..=5) == Some(1)), "seed {seed}");
    }
}

#[test]
fn lost_links_and_restarts_end_in_one_leader() {
    for seed in 0..800 {
        let mut prng = Prng::from_seed([(seed / 7) as u8; 32]);
        let voters = 3 + 2 * (seed % 2);
        let mut histories = draw_histories(&mut prng, voters);
        if seed % 3 == 0 {
            histories[(seed % voters) as usize].1 = None;
        }
        let mut net = Net::new(seed, &histories, seed % 2);
        net.latency = Span::from_ms(1 + net.prng.below(300));
        net.boot_all();
        for _ in 0..20 {
            let pause = Span::from_ms(net.prng.below(700));
            net.run_for(pause);
            let id = 1 + net.prng.below(net.nodes.len() as u64);
            match net.prng.below(4) {
                0 => net.kill(id),
                1 if net.nodes[&id].election.is_none() => net.boot(id),
                2 => net.mute_a_link(),
                _ => net.drop_a_link(),
            }
        }
        for id in net.nodes.keys().copied().collect::<Vec<_>>() {
            if net.nodes[&id].election.is_none() {
                net.boot(id);
            }
        }
        let all: Vec<u64> = net.nodes.keys().copied().collect();
        let end = net.now + seconds(60);
        let done = |net: &Net| {
            net.agreed(all.clone()).is_some()
                && net.nodes.values().all(|n| n.decided.is_some_and(|d| d.serving.is_some()))
        };
        assert!(net.run_until(end, done), "seed {seed} at {:?}\n{}", net.now, net.picture());
    }
}

#[test]
fn lost_links_alone_never_elect_a_history_that_a_quorum_exceeds() {
    for seed in 0..1500 {
        let mut prng = Prng::from_seed([(seed / 3) as u8; 32]);
        let histories = draw_histories(&mut prng, 5);
        let mut net = Net::new(seed, &histories, 0);
        net.boot_all();
        for _ in 0..10 {
            let pause = Span::from_ms(net.prng.below(60));
            net.run_for(pause);
            net.drop_a_link();
        }
        let end = net.now + seconds(30);
        assert!(net.run_until(end, |net| (1..=5).any(|id| net.backed(id))), "seed {seed}");
        let leader = (1..=5).find(|&id| net.backed(id)).unwrap();
        assert!(net.ranks_first(leader, &histories), "seed {seed}: {leader} {histories:?}");
    }
}

#[test]
fn a_restarted_server_joins_and_disturbs_nobody() {
    // ZOOKEEPER-975, 1732, 3537.
    for seed in 0..1000 {
        let mut net = Net::new(seed, &[(1, Some(5)); 3], 1);
        net.boot_all();
        let end = net.now + seconds(5);
        assert!(net.run_until(end, |net| net.agreed(1..=4) == Some(3)), "seed {seed}");
        net.run_for(Span::from_ms(seed));
        let before = net.nodes[&3].decided.unwrap().at;
        let joiner = [1, 2, 4][seed as usize % 3];
        net.kill(joiner);
        net.run_for(Span::from_ms(net.delivered));
        net.boot(joiner);
        let end = net.now + seconds(1);
        assert!(net.run_until(end, |net| net.agreed(1..=4) == Some(3)), "seed {seed}");
        assert_eq!(net.nodes[&3].decided.unwrap().at, before, "seed {seed}");
    }
}

#[test]
fn a_blank_server_counts_in_no_quorum_and_is_never_chosen() {
    for seed in 0..500 {
        let mut net = Net::new(seed, &[(1, Some(5)), (1, Some(3)), (1, None)], 0);
        net.boot_all();
        let end = net.now + seconds(3);
        assert!(net.run_until(end, |net| net.agreed(1..=3) == Some(1)), "seed {seed}");
    }
    // Without it there is no quorum, however often it has looked; with one there is.
    for looks in [1, 5] {
        let mut net = Net::new(1, &[(1, Some(5)), (1, Some(3)), (1, None)], 0);
        net.boot(3);
        for _ in 1..looks {
            net.look(3);
        }
        net.boot(1);
        net.run_for(seconds(30));
        assert!(net.nodes.values().all(|node| node.decided.is_none()));
        net.boot(2);
        let end = net.now + seconds(90);
        assert!(net.run_until(end, |net| net.agreed(1..=3) == Some(1)));
    }
    let mut net = Net::new(1, &[(1, Some(5)), (0, None), (0, None)], 0);
    net.boot(2);
    net.boot(3);
    net.run_for(seconds(300));
    assert!(net.nodes.values().all(|node| node.decided.is_none()));
}

#[test]
fn a_first_start_asks_every_voter() {
    for seed in 0..500 {
        let mut net = Net::new(seed, &[(0, None); 3], 1);
        for id in 1..=3 {
            net.nodes.get_mut(&id).unwrap().start = Start::FirstStart;
        }
        net.boot(1);
        net.boot(2);
        net.boot(4);
        net.run_for(seconds(10));
        assert!(net.nodes.values().all(|node| !node.first_started));
        let election = net.nodes[&1].election.as_ref().unwrap();
        assert_eq!(election.waiting_for(), [ServerId(3)]);
        net.boot(3);
        let end = net.now + seconds(20);
        assert!(
            net.run_until(end, |net| net.agreed(1..=4) == Some(3)),
            "seed {seed} at {:?}\n{}",
            net.now,
            net.picture()
        );
        let first = net.nodes.values().filter(|node| node.first_started).count();
        assert_eq!(first, 3, "seed {seed}");
    }
}

#[test]
fn a_first_start_waits_where_somebody_has_a_history() {
    for seed in 0..200 {
        let mut net = Net::new(seed, &[(0, None), (1, Some(5)), (1, Some(7))], 0);
        net.nodes.get_mut(&1).unwrap().start = Start::FirstStart;
        net.boot(1);
        net.run_for(seconds(seed % 5));
        net.boot(2);
        net.boot(3);
        let end = net.now + seconds(20);
        assert!(net.run_until(end, |net| net.agreed(1..=3) == Some(3)), "seed {seed}");
        assert!(net.nodes.values().all(|node| !node.first_started), "seed {seed}");
    }
    // Two that are empty and one that is not are neither a new ensemble nor a quorum.
    let mut net = Net::new(1, &[(0, None), (0, None), (1, Some(7))], 0);
    net.nodes.get_mut(&1).unwrap().start = Start::FirstStart;
    net.nodes.get_mut(&2).unwrap().start = Start::FirstStart;
    net.boot_all();
    net.run_for(seconds(60));
    assert!(net.nodes.values().all(|node| node.decided.is_none() && !node.first_started));
}

#[test]
fn a_named_successor_takes_over() {
    for seed in 0..200 {
        let mut net = Net::new(seed, &[(1, Some(5)); 3], 0);
        net.boot_all();
        let end = net.now + seconds(5);
        assert!(net.run_until(end, |net| net.agreed(1..=3) == Some(3)), "seed {seed}");
        net.run_for(seconds(1));
        for id in 1..=3 {
            let start = if id == 3 { Start::HandOver { to: ServerId(2) } } else { Start::Own };
            net.nodes.get_mut(&id).unwrap().start = start;
            net.look(id);
        }
        let end = net.now + seconds(2);
        assert!(net.run_until(end, |net| net.agreed(1..=3) == Some(2)), "seed {seed}");
    }
}

#[test]
fn a_leader_that_ends_costs_no_waiting() {
    for seed in 0..300 {
        let mut net = Net::new(seed, &[(1, Some(5)); 3], 0);
        net.boot_all();
        let end = net.now + seconds(5);
        assert!(net.run_until(end, |net| net.agreed(1..=3) == Some(3)), "seed {seed}");
        net.run_for(seconds(1));
        if seed % 2 == 0 {
            net.kill(3);
        } else {
            // It names its successor while the others still follow it, and do not listen.
            net.nodes.get_mut(&3).unwrap().start = Start::HandOver { to: ServerId(2) };
            net.look(3);
            net.lose_messages();
        }
        net.look(1);
        net.look(2);
        let end = net.now + Span::from_ms(190);
        assert!(net.run_until(end, |net| net.agreed(1..=2) == Some(2)), "seed {seed}");
    }
}

#[test]
fn one_seed_is_one_run() {
    let run = || {
        let mut net = Net::new(9, &[(1, Some(5)), (2, Some(1)), (0, Some(0))], 2);
        net.boot_all();
        net.run_for(seconds(5));
        (net.delivered, net.prng.next_u64())
    };
    assert_eq!(run(), run());
}
