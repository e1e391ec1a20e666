//! Each habit, as it shows on the wire or on the disk.

use bytes::{BufMut, Bytes, BytesMut};
use vivarium_core::ids::{DialId, Epoch, LinkId, ServerId, Zxid};
use vivarium_core::server::note::Note;
use vivarium_core::storage::files::{Dir, FileName};
use vivarium_core::storage::snapshot::{SnapshotDecoder, Source};
use vivarium_core::wire::quorum::{LeaderPacket, LearnerInfo, LearnerPacket, VivariumInfo};

use super::body::tests::{config, create, empty};
use super::body::{self, Body};
use super::packet::{
    ACKEPOCH, COMMIT, DIFF, FOLLOWERINFO, LEADERINFO, NEWLEADER, PROPOSAL, Packet, SNAP, TRUNC,
    UPTODATE,
};
use super::{Fact, Guise, Habits, Told, draw};
use crate::cluster::Cluster;
use crate::disk::DiskSim;
use crate::machine::Machine;
use crate::rng::{SimRng, Stream};

const LINK: LinkId = LinkId(4);
const OFF: Habits = Habits::NONE;

fn guise(habits: Habits, seed: u64) -> Guise {
    Guise::new(habits, &config(), SimRng::new(seed, Stream::Apache, 1))
}

/// It leads, and somebody dialled it.
fn leader(habits: Habits, seed: u64) -> Guise {
    let mut guise = guise(habits, seed);
    guise.opened(LINK, None);
    guise
}

/// It follows server 3.
fn learner(habits: Habits) -> Guise {
    let mut guise = guise(habits, 1);
    assert_eq!(guise.dialled(DialId(1), ServerId(3)), None);
    guise.opened(LINK, Some(DialId(1)));
    guise
}

fn encode(packets: &[LeaderPacket]) -> Bytes {
    let mut out = BytesMut::new();
    packets.iter().for_each(|packet| packet.encode(&mut out));
    out.freeze()
}

fn says(packet: &LearnerPacket) -> Bytes {
    let mut out = BytesMut::new();
    packet.encode(&mut out);
    out.freeze()
}

fn follower_info() -> Bytes {
    let info = LearnerInfo {
        server: Some(ServerId(2)),
        protocol_version: 0x10000,
        config_version: 0,
        vivarium: Some(VivariumInfo::default()),
    };
    says(&LearnerPacket::FollowerInfo { accepted: Epoch(1), info })
}

fn leader_info() -> LeaderPacket {
    LeaderPacket::LeaderInfo { epoch: Epoch(2), vivarium: true }
}

fn proposal(txn: &(Zxid, Bytes)) -> LeaderPacket {
    LeaderPacket::Proposal { zxid: txn.0, payload: txn.1.clone() }
}

fn commit(txn: &(Zxid, Bytes)) -> LeaderPacket {
    LeaderPacket::Commit { zxid: txn.0 }
}

fn new_leader() -> LeaderPacket {
    LeaderPacket::NewLeader { epoch: Epoch(2), config: None }
}

/// Types and zxids of whole packets.
fn kinds(bytes: &Bytes) -> Vec<(i32, i64)> {
    let mut buffer = BytesMut::from(&bytes[..]);
    let mut kinds = Vec::new();
    while let Some(packet) = Packet::cut(&mut buffer) {
        kinds.push((packet.kind, packet.zxid));
    }
    assert!(buffer.is_empty(), "half a packet is left");
    kinds
}

fn data_len(bytes: &Bytes) -> usize {
    Packet::cut(&mut BytesMut::from(&bytes[..])).unwrap().data.unwrap().len()
}

#[test]
fn an_ack_that_leaves_one_out_counts_for_nothing() {
    let mut leader = leader(OFF, 1);
    leader.inbound(LINK, follower_info());
    let ack = |epoch, counter| says(&LearnerPacket::Ack { zxid: Zxid::new(Epoch(epoch), counter) });
    let mut passes = |bytes: Bytes| leader.inbound(LINK, bytes.clone()) == bytes;
    assert!(passes(ack(2, 0)) && passes(ack(1, 7)) && passes(ack(1, 8)));
    assert!(!passes(ack(1, 10)), "9 is not acknowledged");
    assert!(!passes(ack(1, 11)), "nor is it now");
    assert!(
        passes(ack(1, 9)) && passes(ack(1, 9)),
        "once more, as for a request that it could not read"
    );
    assert!(passes(ack(1, 10)) && passes(ack(2, 0)) && passes(ack(2, 1)) && !passes(ack(2, 3)));
}

#[test]
fn greetings_end_where_apaches_do_both_ways() {
    let habits = Habits { plain_greetings: true, ..Habits::NONE };
    let mut follower = learner(habits);
    assert_eq!(data_len(&follower.outbound(LINK, follower_info())), 20);
    assert_eq!(follower.take_facts(), [Fact::Habit("plain_greetings")]);
    assert_eq!(data_len(&follower.inbound(LINK, encode(&[leader_info()]))), 4);
    let mut leader = leader(habits, 1);
    assert_eq!(data_len(&leader.inbound(LINK, follower_info())), 20);
    assert_eq!(data_len(&leader.outbound(LINK, encode(&[leader_info()]))), 4);

    let mut ours = learner(OFF);
    assert_eq!(data_len(&ours.outbound(LINK, follower_info())), 28);
    assert_eq!(data_len(&ours.inbound(LINK, encode(&[leader_info()]))), 12);
}

#[test]
fn a_server_is_told_that_the_bytes_left_off_were_sent() {
    let mut follower = learner(Habits::ALL);
    let whole = follower_info().len() as u64;
    let sent = follower.outbound(LINK, follower_info()).len() as u64;
    assert_eq!(sent, whole - 8);
    assert_eq!(follower.sent(LINK, sent), whole);
}

#[test]
fn what_is_not_committed_is_logged_behind_uptodate() {
    let (one, two, three) = (create(1, "/a"), create(2, "/b"), create(3, "/c"));
    let packets = [
        leader_info(),
        LeaderPacket::Diff { upto: one.0 },
        proposal(&one),
        commit(&one),
        proposal(&two),
        new_leader(),
        proposal(&three),
        commit(&two),
        LeaderPacket::UpToDate,
        commit(&three),
    ];
    let read = |habits| {
        let mut guise = learner(habits);
        // One byte at a time: what is held must not depend on chunks.
        let mut read = BytesMut::new();
        for byte in encode(&packets) {
            read.put_slice(&guise.inbound(LINK, Bytes::copy_from_slice(&[byte])));
        }
        (kinds(&read.freeze()), guise.take_facts())
    };
    let new_epoch = 2 << 32;
    let (late, facts) = read(Habits { late_logging: true, ..Habits::NONE });
    assert_eq!(
        late[1..],
        [
            (DIFF, 1),
            (PROPOSAL, 1),
            (COMMIT, 1),
            (NEWLEADER, new_epoch),
            (UPTODATE, -1),
            (PROPOSAL, 2),
            (PROPOSAL, 3),
            (COMMIT, 2),
            (COMMIT, 3),
        ]
    );
    assert_eq!(facts, [Fact::Habit("late_logging")]);
    let (as_sent, facts) = read(OFF);
    assert_eq!(as_sent, kinds(&encode(&packets)));
    assert_eq!(facts, []);
}

/// SNAP of zxid 0 and three committed transactions, as a leader with these habits sends them in office
/// for the epoch in which they were proposed.
fn snap(habits: Habits, seed: u64) -> (Vec<Fact>, Zxid, Bytes, Vec<(i32, i64)>) {
    snap_by(habits, seed, Epoch(0), true)
}

fn snap_by(
    habits: Habits,
    seed: u64,
    epoch: Epoch,
    established: bool,
) -> (Vec<Fact>, Zxid, Bytes, Vec<(i32, i64)>) {
    let txns = [create(1, "/a"), create(2, "/a/b"), create(3, "/c")];
    let mut guise = leader(habits, seed);
    if established {
        guise.note(&Note::Established { epoch, history: None });
    }
    guise.inbound(LINK, follower_info());
    let mut stream = BytesMut::from(
        &encode(&[leader_info(), LeaderPacket::Snap { zxid: Zxid(0), fuzzy: false }])[..],
    );
    empty().put(&mut stream);
    body::put_signature(&mut stream);
    for txn in &txns {
        stream.put_slice(&encode(&[proposal(txn), commit(txn)]));
    }
    let new_leader = LeaderPacket::NewLeader { epoch, config: None };
    stream.put_slice(&encode(&[new_leader, LeaderPacket::UpToDate]));
    let told = stream.len() as u64;
    let mut out = BytesMut::new();
    for chunk in stream.freeze().chunks(50) {
        out.put_slice(&guise.outbound(LINK, Bytes::copy_from_slice(chunk)));
    }
    let mut credit = guise.sent(LINK, out.len() as u64);
    while let Some((_, Told::Sent(bytes))) = guise.next_told() {
        credit += bytes;
    }
    assert_eq!(credit, told, "the server is told of what it sent, all of it and no more");
    assert_eq!(Packet::cut(&mut out).unwrap().kind, LEADERINFO);
    let named = Packet::cut(&mut out).unwrap();
    assert_eq!(named.kind, SNAP);
    let end = body::Scan::default().end(&out).unwrap();
    let rest = out.split_off(end);
    let facts = guise.take_facts();
    (facts, Zxid::from_wire(named.zxid).unwrap(), out.freeze(), kinds(&rest.freeze()))
}

#[test]
fn a_snap_holds_later_transactions_and_repeats_earlier_ones() {
    let habits = Habits { fuzzy_snap: true, ..Habits::NONE };
    let (mut fuzzy, mut repeats) = (0, 0);
    for seed in 0..120 {
        let (facts, zxid, stream, rest) = snap(habits, seed);
        let holds = Body::parse(&stream).unwrap();
        let first = rest.iter().find(|(kind, _)| *kind == PROPOSAL).map(|(_, zxid)| *zxid);
        assert!(rest.ends_with(&[(NEWLEADER, 0), (UPTODATE, -1)]));
        for txn in zxid.0 + 1..=3 {
            assert!(rest.contains(&(PROPOSAL, txn as i64)), "seed {seed}: {txn} is missing");
        }
        let later = Zxid(zxid.0 + 1);
        let at_name = empty().states(Zxid(0), &config(), &all()[..zxid.0 as usize]).unwrap();
        if facts.contains(&Fact::Habit("fuzzy_snap")) {
            let end = facts.iter().find_map(|fact| match fact {
                Fact::Snap { base, end, .. } if *base == zxid => Some(*end),
                Fact::Snap { .. } | Fact::FuzzyFile { .. } | Fact::Habit(_) => None,
            });
            assert!(end >= Some(later), "seed {seed}: the checkers know where it ends");
            fuzzy += u32::from(Some(&holds) != at_name.last());
        } else {
            assert_eq!(Some(&holds), at_name.last(), "seed {seed}: it says that it is exact");
        }
        if first.is_some_and(|first| first <= zxid.0 as i64) {
            assert!(facts.contains(&Fact::Habit("snap_repeats")));
            repeats += 1;
        }
    }
    assert!(fuzzy > 2 && repeats > 5, "{fuzzy} fuzzy, {repeats} repeats");
}

fn all() -> [(Zxid, Bytes); 3] {
    [create(1, "/a"), create(2, "/a/b"), create(3, "/c")]
}

#[test]
fn without_the_habit_a_snap_is_exact() {
    let (facts, zxid, stream, rest) = snap(OFF, 1);
    let learner = ServerId(2);
    assert_eq!(facts, [Fact::Snap { learner, base: Zxid(0), end: Zxid(0) }]);
    assert_eq!(zxid, Zxid(0));
    assert_eq!(Body::parse(&stream).unwrap(), empty());
    assert_eq!(rest.len(), 8);
}

#[test]
fn a_leader_sends_all_that_it_loaded() {
    let cases =
        [(OFF, true), (Habits { epoch_zxids: false, ..Habits::ALL }, true), (Habits::ALL, false)];
    for (seed, (habits, established)) in (0..30).zip(cases.into_iter().cycle()) {
        let (facts, zxid, stream, rest) = snap_by(habits, seed, Epoch(2), established);
        let learner = ServerId(2);
        assert!(facts.contains(&Fact::Snap { learner, base: Zxid(3), end: Zxid(3) }));
        assert_eq!((zxid, rest.len()), (Zxid(3), 2), "nothing is left to follow");
        let whole = empty().states(Zxid(0), &config(), &all()).unwrap();
        assert_eq!(Body::parse(&stream).as_ref(), whole.last());
    }
}

#[test]
fn a_snap_may_name_the_start_of_the_epoch() {
    let habits = Habits { fuzzy_snap: true, epoch_zxids: true, ..Habits::NONE };
    let snap = |seed| snap_by(habits, seed, Epoch(2), true);
    let named = (0..40).filter(|&seed| snap(seed).1 == Zxid::new(Epoch(2), 0));
    for seed in named.clone() {
        let (_, _, stream, _) = snap(seed);
        let whole = empty().states(Zxid(0), &config(), &all()).unwrap();
        assert_eq!(Body::parse(&stream).as_ref(), whole.last(), "all of the history is in it");
    }
    assert!(named.count() > 3);
}

#[test]
fn a_truncated_server_is_replaced_behind_its_link() {
    let mut guise = learner(Habits { truncates_in_place: true, ..Habits::NONE });
    guise.outbound(LINK, follower_info());
    let one = create(1, "/a");
    let packets = [
        leader_info(),
        LeaderPacket::Trunc { upto: Zxid(0) },
        proposal(&one),
        commit(&one),
        new_leader(),
    ];
    let read = guise.inbound(LINK, encode(&packets));
    assert_eq!(kinds(&read), [(LEADERINFO, 2 << 32), (TRUNC, 0)]);
    assert!(!guise.closes(LINK), "the old server's close does not reach the leader");
    assert_eq!(guise.server_ended(true), Some(LINK));
    assert!(guise.was_cut_to(Some(Zxid(0))));

    assert_eq!(guise.dialled(DialId(2), ServerId(3)), Some(LINK));
    assert_eq!(guise.outbound(LINK, follower_info()), Bytes::new());
    let Some((_, Told::Bytes(answer))) = guise.next_told() else { panic!("no answer") };
    assert_eq!(kinds(&answer), [(LEADERINFO, 2 << 32)]);
    while guise.next_told().is_some() {}
    let ack = LearnerPacket::AckEpoch { last_logged: Some(Zxid(0)), current: None };
    assert_eq!(guise.outbound(LINK, says(&ack)), Bytes::new(), "{ACKEPOCH} was sent before");
    let Some((_, Told::Bytes(answer))) = guise.next_told() else { panic!("no answer") };
    assert_eq!(kinds(&answer), [(DIFF, 0), (PROPOSAL, 1), (COMMIT, 1), (NEWLEADER, 2 << 32)]);
    while guise.next_told().is_some() {}
    let ack = says(&LearnerPacket::Ack { zxid: Zxid::new(Epoch(2), 0) });
    assert_eq!(guise.outbound(LINK, ack.clone()), ack, "from here on the leader hears it");
}

#[test]
fn a_server_that_has_less_than_it_was_cut_to_is_not_replaced() {
    let mut guise = learner(Habits { truncates_in_place: true, ..Habits::NONE });
    guise.inbound(LINK, encode(&[leader_info(), LeaderPacket::Trunc { upto: Zxid(7) }]));
    assert_eq!(guise.server_ended(true), Some(LINK));
    assert!(guise.was_cut_to(Some(Zxid(7))) && !guise.was_cut_to(Some(Zxid(6))));
    assert!(!guise.was_cut_to(None));
}

#[test]
fn a_server_that_ends_otherwise_takes_its_links_along() {
    let mut guise = learner(Habits::ALL);
    guise.inbound(LINK, encode(&[leader_info(), LeaderPacket::Trunc { upto: Zxid(0) }]));
    assert_eq!(guise.server_ended(false), None);
    assert_eq!(guise.dialled(DialId(2), ServerId(3)), None);
    let mut guise = learner(Habits::ALL);
    assert_eq!(guise.server_ended(true), None, "no TRUNC came");
}

#[test]
fn a_blank_server_has_no_use_for_the_link() {
    let mut guise = learner(Habits::ALL);
    guise.inbound(LINK, encode(&[leader_info(), LeaderPacket::Trunc { upto: Zxid(0) }]));
    guise.server_ended(true);
    guise.dialled(DialId(2), ServerId(3));
    guise.outbound(LINK, follower_info());
    while guise.next_told().is_some() {}
    guise.outbound(LINK, says(&LearnerPacket::AckEpoch { last_logged: None, current: None }));
    assert_eq!(guise.next_told(), Some((LINK, Told::Broken)));
}

/// A folder with a snapshot of zxid 0 and two logs.
fn disk() -> DiskSim {
    let mut disk = DiskSim::new(
        &Machine::draw(1, ServerId(1), false),
        SimRng::new(1, Stream::Disk, 1),
        SimRng::new(1, Stream::Disk, 2),
        crate::payload_hash,
    );
    let log = |txns: &[(Zxid, Bytes)]| {
        let mut file = BytesMut::from(&b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0"[..]);
        txns.iter().for_each(|(_, payload)| super::folder::put_record(&mut file, payload));
        file.put_bytes(0, 500);
        file
    };
    disk.plant(FileName::log(Dir::Data, Zxid(1)), &log(&all()[..2]));
    disk.plant(FileName::log(Dir::Data, Zxid(3)), &log(&all()[2..]));
    let mut body = BytesMut::new();
    empty().put(&mut body);
    disk.plant(FileName::snapshot(Zxid(0)), &super::folder::file(Zxid(0), &body));
    disk
}

fn aged(habits: Habits, committed: u64, seed: u64) -> (DiskSim, Vec<Fact>) {
    let mut guise = guise(habits, seed);
    let (zxid, hash) = (Zxid(committed), 0);
    guise.note(&Note::Applied { zxid, hash, digest: Default::default(), recovered: false });
    let mut disk = disk();
    guise.age(&mut disk);
    (disk, guise.take_facts())
}

#[test]
fn a_log_holds_two_records_under_one_zxid() {
    let habits = Habits { twin_records: true, ..Habits::NONE };
    let zxids = |disk: &DiskSim| -> Vec<u64> {
        disk.image().txns().into_iter().map(|(zxid, _)| zxid.0).collect()
    };
    let mut seen = 0;
    for seed in 0..30 {
        let (aged, facts) = aged(habits, 3, seed);
        for (zxid, payload) in all() {
            let hash = crate::payload_hash(&payload);
            assert_eq!(aged.image().log_hash(zxid), Some(hash), "the first is the transaction");
        }
        if facts.is_empty() {
            assert_eq!(zxids(&aged), [1, 2, 3]);
        } else {
            assert_eq!(facts, [Fact::Habit("twin_records")]);
            assert!(zxids(&aged) == [1, 1, 2, 3] || zxids(&aged) == [1, 2, 2, 3]);
            seen += 1;
        }
    }
    assert!(seen > 3);
}

#[test]
fn a_snapshot_file_holds_more_than_its_name_says() {
    let habits = Habits { fuzzy_files: true, ..Habits::NONE };
    let mut seen = 0;
    for seed in 0..30 {
        let (aged, facts) = aged(habits, 2, seed);
        let Some(&Fact::FuzzyFile { base, end }) = facts.last() else { continue };
        assert!(base == Zxid(0) && end >= Zxid(1) && end <= Zxid(2), "only what is committed");
        assert_eq!(aged.image().snapshot(), Some(base), "it is whole");
        let file = aged.image().read(&FileName::snapshot(base), 0, u32::MAX).unwrap();
        let mut decoder = SnapshotDecoder::new(Source::File, &config());
        decoder.push(&file).unwrap();
        assert_eq!(decoder.finish(base).unwrap().finished_at, Some(end), "and no exact one");
        seen += u32::from(Body::parse(&file.slice(16..)).unwrap() != empty());
    }
    assert!(seen > 3, "{seen} hold anything");
    let (_, facts) = aged(habits, 0, 1);
    assert_eq!(facts, [], "nothing is committed");
}

#[test]
fn a_share_of_seeds_is_mixed_and_one_of_ours_stays() {
    let mut mixed = 0;
    for seed in 0..1000 {
        let cluster = Cluster::draw(seed, None);
        let peers = draw(seed, &cluster, None);
        assert!(peers.len() < cluster.configs.len());
        assert!(peers.values().all(|habits| habits.plain_greetings));
        mixed += usize::from(!peers.is_empty());
        assert_eq!(draw(seed, &cluster, Some(0)).len(), 0);
        assert_eq!(draw(seed, &cluster, Some(9)).len(), cluster.configs.len() - 1);
    }
    assert!((100..200).contains(&mixed), "{mixed} of 1000");
}

#[test]
fn a_peer_answers_syncs_alone_where_it_leads() {
    let mut cluster = Cluster::draw(1, Some(3));
    let habits = Habits { weak_sync: true, ..Habits::NONE };
    cluster.disguise([(ServerId(2), habits)].into_iter().collect());
    let asks: Vec<bool> = cluster.configs.iter().map(|config| config.linearizable_sync).collect();
    assert_eq!(asks, [true, false, true]);
}

#[test]
fn every_habit_has_its_name() {
    assert_eq!(Habits::ALL.names().len(), 8);
    assert!(Habits::NONE.names().is_empty());
    assert_eq!(kinds(&follower_info()), [(FOLLOWERINFO, 1 << 32)]);
}
