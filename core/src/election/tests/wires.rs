//! One election against hand-made peers, byte by byte.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::*;
use crate::config::EnsembleConfig;
use crate::server::action::{Action, Close, CloseReason, LinkAction};
use crate::server::note::Note;
use crate::time::Wall;

/// Server `me` of three voters, as in PROTOCOL 7.
struct Bench {
    election: Election,
    now: Mono,
    dials: DialIds,
    prng: Prng,
    event: Option<Event>,
    notes: Vec<Note>,
}

/// What the election asked for, in a form that is easy to compare.
#[derive(Debug, PartialEq)]
enum Did {
    Dial(u64, u16),
    Send(u64, Vec<u8>),
    Close(u64, Close, CloseReason),
}

fn text() -> String {
    let line =
        |id| format!("server.{id}=127.0.0.1:3182{id}:3183{id}:participant;127.0.0.1:3184{id}\n");
    (1..=3).map(line).collect::<String>() + "version=0"
}

impl Bench {
    fn new(me: u64) -> Self {
        let config = EnsembleConfig::from_text(&text()).unwrap();
        let ensemble = Ensemble::new(config.clone());
        let config = Config::with_defaults(ServerId(me), Some(config), [0; 32]);
        Self {
            election: Election::new(&config, &ensemble),
            now: Mono(5),
            dials: DialIds::default(),
            prng: Prng::from_seed([0; 32]),
            event: None,
            notes: Vec::new(),
        }
    }

    fn call(&mut self, f: impl FnOnce(&mut Election, &mut Cx<'_>) -> Option<Event>) -> Vec<Did> {
        let mut out = Outbox::new();
        let at = Stamp { mono: self.now, wall: Wall(0) };
        let mut cx = Cx { at, out: &mut out, dials: &mut self.dials, prng: &mut self.prng };
        self.event = f(&mut self.election, &mut cx);
        let notes = &mut self.notes;
        let did = |action| match action {
            Action::Link(LinkAction::Dial { dial, port, .. }) => Some(Did::Dial(dial.0, port)),
            Action::Link(LinkAction::Send { link, bytes }) => {
                Some(Did::Send(link.0, bytes.to_vec()))
            }
            Action::Link(LinkAction::Close { link, how, why }) => {
                Some(Did::Close(link.0, how, why))
            }
            Action::Note(note) => {
                notes.push(note);
                None
            }
            Action::Link(LinkAction::Hold { .. } | LinkAction::Resume { .. })
            | Action::Disk(_)
            | Action::Admin { .. }
            | Action::Halt(_) => panic!("{action:?}"),
        };
        out.drain().filter_map(did).collect()
    }

    fn look(&mut self) -> Vec<Did> {
        self.look_with(Zxid::ZERO)
    }

    fn look_with(&mut self, zxid: Zxid) -> Vec<Did> {
        let mine = Candidate { zxid: Some(zxid), epoch: Epoch::ZERO };
        self.call(|election, cx| election.look(mine, Start::Own, cx))
    }

    fn opened(&mut self, link: u64, dial: Option<u64>) -> Vec<Did> {
        self.call(|election, cx| election.on_opened(LinkId(link), dial.map(DialId), cx))
    }

    fn bytes(&mut self, link: u64, bytes: &[u8]) -> Vec<Did> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.call(|election, cx| election.on_bytes(LinkId(link), bytes, cx))
    }

    fn greet(&mut self, link: u64, from: u64) -> Vec<Did> {
        assert_eq!(self.opened(link, None), []);
        self.bytes(link, &initial(from))
    }

    fn wake_at_deadline(&mut self) -> Vec<Did> {
        self.now = self.election.deadline().unwrap().0;
        self.call(|election, cx| election.on_wake(cx))
    }
}

fn initial(from: u64) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_i64(-65_536);
    out.put_u64(from);
    let address = format!("127.0.0.1:3183{}", from % 10);
    out.put_u32(address.len() as u32);
    out.put_slice(address.as_bytes());
    out.to_vec()
}

fn said(state: i32, leader: u64, zxid: i64, round: i64, epoch: i64) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u32(40);
    out.put_i32(state);
    out.put_u64(leader);
    out.put_i64(zxid);
    out.put_i64(round);
    out.put_i64(epoch);
    out.put_i32(1);
    out.to_vec()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn close(link: u64, how: Close, why: CloseReason) -> Did {
    Did::Close(link, how, why)
}

#[test]
fn the_bytes_are_those_of_apache() {
    let greeting = hex("ffffffffffff0000 0000000000000001 0000000f 3132372e302e302e313a3331383331");
    let mut notification = hex(
        "000000e6 00000000 0000000000000001 0000000000000000 0000000000000001 0000000000000000 \
         00000002 000000ba",
    );
    notification.extend(text().bytes());
    assert_eq!(notification.len(), 4 + 230);

    let mut low = Bench::new(1);
    assert_eq!(low.look(), [Did::Dial(1, 31832), Did::Dial(2, 31833)]);
    assert_eq!(
        low.opened(7, Some(2)),
        [Did::Send(7, greeting), close(7, Close::Flush, CloseReason::DirectionRule),]
    );
    // The higher id calls back, and is told at once.
    assert_eq!(low.greet(8, 3), [Did::Send(8, notification)]);
}

#[test]
fn trap_37_the_higher_id_owns_the_connection() {
    let mut high = Bench::new(3);
    assert_eq!(high.look(), [Did::Dial(1, 31831), Did::Dial(2, 31832)]);
    let sent = high.opened(7, Some(1));
    assert!(matches!(&sent[..], [Did::Send(7, bytes)] if bytes.starts_with(&initial(3))));
    // Server 1 calls although a connection stands: both end, and it is called back.
    assert_eq!(
        high.greet(8, 1),
        [
            close(7, Close::Abort, CloseReason::DirectionRule),
            close(8, Close::Flush, CloseReason::DirectionRule),
            Did::Dial(3, 31831),
        ]
    );
    assert_eq!(high.bytes(7, b"late"), [], "bytes of an old link are dropped");
    // A call while ours is under way is answered when that one fails.
    assert_eq!(high.greet(9, 1), [close(9, Close::Flush, CloseReason::DirectionRule)]);
    let did = high.call(|e, cx| e.on_dial_failed(DialId(3), DialError::Refused, cx));
    assert_eq!(did, [Did::Dial(4, 31831)]);
}

#[test]
fn a_new_connection_of_a_higher_id_replaces_the_old_one() {
    let mut low = Bench::new(1);
    low.look();
    low.greet(7, 3);
    let did = low.greet(8, 3);
    assert_eq!(did[0], close(7, Close::Abort, CloseReason::Superseded));
    assert!(matches!(did[1], Did::Send(8, _)));
    low.call(|e, cx| e.on_closed(LinkId(7), LinkEnd::Closed, cx));
    assert!(low.election.owns_link(LinkId(8)));
}

#[test]
fn wrong_bytes_cost_the_connection_only() {
    let protocol = |why| CloseReason::Protocol(why);
    let mut low = Bench::new(1);
    low.look();
    assert_eq!(low.greet(10, 1), [close(10, Close::Abort, protocol("a server with my id"))]);
    assert_eq!(
        low.greet(11, 0),
        [close(11, Close::Abort, protocol("not a server of this ensemble"))]
    );
    low.opened(12, None);
    let did = low.bytes(12, &hex("ffffffffffff0000 0000000000000002 00000801"));
    assert_eq!(did, [close(12, Close::Abort, protocol("malformed initial message"))]);
    for (link, frame) in [(13, hex("00000000")), (14, hex("00080001")), (15, hex("ffffffff"))] {
        low.greet(link, 3);
        let did = low.bytes(link, &frame);
        assert_eq!(did, [close(link, Close::Abort, protocol("length"))], "{frame:x?}");
    }
    low.greet(16, 3);
    for body in ["00000001 00", "00000004 00000009", "0000001c 00000004"] {
        let mut body = hex(body);
        body.resize(4 + body[3] as usize, 0);
        assert_eq!(low.bytes(16, &body), [], "a message that does not decode is ignored");
    }
    assert!(low.election.owns_link(LinkId(16)));
}

/// It leads, and it has given up; both may come in one piece, and the latter more than once.
#[test]
fn a_leader_that_gives_up_at_once_is_heard_once() {
    let mut bench = Bench::new(1);
    bench.look();
    bench.greet(3, 3);
    bench.greet(2, 2);
    bench.bytes(2, &said(1, 3, 0, 1, 1));
    let looks = said(0, 3, 0, 2, 1);
    bench.bytes(3, &[said(2, 3, 0, 1, 1), looks.clone()].concat());
    assert_eq!(bench.event, Some(Event::Decided { leader: ServerId(3), round: 1 }));
    bench.bytes(3, &[looks.clone(), looks].concat());
    assert_eq!(bench.event, Some(Event::LeaderLooks));
}

#[test]
fn servers_outside_the_configuration_are_answered_not_counted() {
    let mut low = Bench::new(1);
    low.look();
    for (link, id) in [(10, 9), (11, i64::MAX as u64), (12, i64::MAX as u64)] {
        assert!(matches!(low.greet(link, id)[..], [Did::Send(..)]));
        assert!(matches!(low.bytes(link, &said(0, id, 99, 99, 99))[..], [Did::Send(..)]));
        assert_eq!(low.bytes(link, &said(3, 1, 0, 1, 0)), [], "no ping-pong");
    }
    assert!([10, 11, 12].iter().all(|&link| low.election.owns_link(LinkId(link))));
    assert_eq!(low.election.round(), 1);
}

#[test]
fn strangers_are_few_and_short_lived() {
    let mut low = Bench::new(1);
    for link in 0..64 {
        assert_eq!(low.opened(link, None), []);
    }
    let did = low.opened(64, None);
    assert_eq!(did, [close(0, Close::Abort, CloseReason::TooManyConnections)]);
    assert_eq!(low.wake_at_deadline().len(), 64);
    assert_eq!(low.now, Mono(5) + Span::from_ms(15_000), "syncLimit ticks");
    assert_eq!(low.election.deadline(), None);
}

#[test]
fn a_peer_that_takes_nothing_gets_the_newest_message_only() {
    let mut low = Bench::new(1);
    low.look();
    let mut unsent = 0;
    for did in low.greet(7, 3) {
        if let Did::Send(_, bytes) = did {
            unsent += bytes.len() as u64;
        }
    }
    // Each message of an older round is answered, until too much waits.
    for _ in 0..1000 {
        for did in low.bytes(7, &said(0, 3, 0, 0, 0)) {
            if let Did::Send(_, bytes) = did {
                unsent += bytes.len() as u64;
            }
        }
    }
    assert!(unsent < (64 << 10) + 500, "{unsent}");
    let did = low.call(|e, cx| {
        e.on_sent(LinkId(7), unsent, cx);
        None
    });
    assert!(matches!(did[..], [Did::Send(7, _)]));
}

#[test]
fn timers_resend_redial_and_give_up() {
    let mut high = Bench::new(3);
    high.look();
    let start = high.now;
    let mut resent = Vec::new();
    high.opened(7, Some(1));
    while high.now.since(start) < Span::from_ms(13_000) {
        let did = high.wake_at_deadline();
        if did.iter().any(|did| matches!(did, Did::Send(7, _))) {
            resent.push(high.now.since(start).as_ms());
        }
        if did.contains(&close(7, Close::Abort, CloseReason::Silent)) {
            break;
        }
    }
    assert_eq!(resent, [200, 600, 1400, 3000, 6200], "doubling");
    assert_eq!(high.now.since(start).as_ms(), 12_600, "silent for more than two timeouts");
    // The dial to server 2 timed out and was repeated; an answer to the first comes too late.
    let did = high.opened(20, Some(2));
    assert_eq!(did, [close(20, Close::Abort, CloseReason::Superseded)]);
}

#[test]
fn a_peer_that_cannot_be_reached_is_named_at_once_and_then_each_minute() {
    let mut bench = Bench::new(3);
    bench.look();
    let missing = |peer: u64, why| Note::PeerUnreachable {
        peer: ServerId(peer),
        at: format!("127.0.0.1:3183{peer}"),
        why,
    };
    bench.call(|election, cx| election.on_dial_failed(DialId(2), DialError::Refused, cx));
    assert_eq!(core::mem::take(&mut bench.notes), [missing(2, DialError::Refused)]);
    let mut said = Vec::new();
    let end = bench.now + Span::from_ms(150_000);
    while bench.now < end {
        for did in bench.wake_at_deadline() {
            if let Did::Dial(dial, 31_832) = did {
                let (dial, why) = (DialId(dial), DialError::Unresolved);
                bench.call(|election, cx| election.on_dial_failed(dial, why, cx));
            }
        }
        let of_two = |note: &Note| *note == missing(2, DialError::Unresolved);
        said.extend(core::mem::take(&mut bench.notes).into_iter().filter(of_two));
    }
    assert_eq!(said.len(), 2, "{said:?}");
    let back = Note::PeerReachable { peer: ServerId(2) };
    bench.opened(9, None);
    let did = bench.greet(9, 2);
    assert!(!bench.notes.contains(&back), "a lower id is called back first");
    let Some(Did::Dial(dial, 31_832)) = did.last() else { panic!("{did:?}") };
    bench.opened(10, Some(*dial));
    assert_eq!(bench.notes, [back]);
}

#[test]
fn a_voter_that_begins_later_is_told_what_it_missed() {
    let mut three = Bench::new(3);
    three.look_with(Zxid(9));
    three.opened(7, Some(1));
    // It had a leader when this server told its vote, and dropped it.
    let did = three.bytes(7, &said(0, 1, 4, 1, 0));
    let vote = |bytes: &[u8]| (bytes[15], bytes[23], bytes[31]);
    assert!(matches!(&did[..], [Did::Send(7, bytes)] if vote(bytes) == (3, 9, 1)), "{did:?}");
    assert_eq!(three.bytes(7, &said(0, 3, 9, 1, 0)), [], "once");
}

#[test]
fn a_lost_connection_that_stood_for_a_while_is_dialled_again_at_once() {
    for (stood, end, expected) in [
        (199, LinkEnd::Reset, &[][..]),
        (200, LinkEnd::Reset, &[Did::Dial(3, 31831)]),
        (200, LinkEnd::Finished, &[Did::Dial(3, 31831)]),
    ] {
        let mut three = Bench::new(3);
        three.look();
        three.opened(7, Some(1));
        three.now = three.now + Span::from_ms(stood);
        let did = three.call(|e, cx| e.on_closed(LinkId(7), end, cx));
        assert_eq!(did, expected, "after {stood} ms by {end:?}");
    }
}

#[test]
fn a_server_with_a_leader_tells_who_looks() {
    let mut low = Bench::new(1);
    low.look();
    low.greet(7, 3);
    low.bytes(7, &said(0, 3, 0, 1, 0));
    assert_eq!(low.event, None, "server 2 may yet answer");
    low.wake_at_deadline();
    assert_eq!(low.event, Some(Event::Decided { leader: ServerId(3), round: 1 }));
    let did = low.call(|e, cx| {
        e.serve(PeerState::Following, ServerId(3), Epoch(4), cx);
        None
    });
    let state = |bytes: &[u8]| (bytes[7], bytes[15], bytes[31], bytes[39]);
    assert!(matches!(&did[..], [Did::Send(7, bytes)] if state(bytes) == (1, 3, 1, 4)));
    let did = low.greet(8, 2);
    assert!(matches!(&did[..], [Did::Send(8, bytes)] if state(bytes) == (1, 3, 1, 4)));
    assert!(matches!(low.bytes(8, &said(0, 2, 0, 9, 0))[..], [Did::Send(8, _)]));
    assert_eq!(low.bytes(8, &said(1, 3, 0, 9, 4)), []);
    assert_eq!(low.election.round(), 1);
}

#[test]
fn joining_needs_the_leaders_own_word() {
    let mut two = Bench::new(2);
    two.look();
    two.opened(7, Some(1));
    two.greet(8, 3);
    two.bytes(7, &said(1, 3, 5, 7, 4));
    assert_eq!(two.event, None);
    two.bytes(8, &said(1, 3, 5, 9, 4));
    assert_eq!(two.event, None, "a quorum follows server 3, which does not lead");
    // Who leads and is one short of a quorum may wait for this very server.
    two.bytes(8, &said(2, 3, 5, 9, 5));
    assert_eq!(two.event, Some(Event::Decided { leader: ServerId(3), round: 9 }));
}

#[test]
fn votes_of_the_own_round_suffice_to_join() {
    // ZOOKEEPER-3537: the leader's word is looked up among the votes that are counted.
    let mut two = Bench::new(2);
    two.look();
    two.greet(8, 3);
    two.bytes(8, &said(0, 3, 0, 1, 0));
    assert_eq!(two.event, None);
    two.bytes(8, &said(2, 3, 0, 1, 0));
    assert_eq!(two.event, Some(Event::Decided { leader: ServerId(3), round: 1 }));
}

#[test]
fn a_higher_round_starts_from_the_own_history_again() {
    let proposed = |did: &[Did]| match did {
        [Did::Send(_, one), Did::Send(_, two)] if one == two => (one[15], one[31]),
        other => panic!("no broadcast: {other:?}"),
    };
    let mut two = Bench::new(2);
    two.look_with(Zxid(5));
    two.opened(7, Some(1));
    two.greet(8, 3);
    assert_eq!(proposed(&two.bytes(8, &said(0, 3, 9, 1, 0))), (3, 1), "better: adopted");
    assert!(matches!(two.bytes(7, &said(0, 1, 4, 1, 0))[..], [Did::Send(7, _)]), "worse: counted");
    assert_eq!(two.bytes(7, &said(0, 1, 4, 1, 0)), [], "and told once");
    assert_eq!(proposed(&two.bytes(7, &said(0, 1, 4, 6, 0))), (2, 6), "own history is better");
    assert_eq!(proposed(&two.bytes(8, &said(0, 3, 9, 7, 0))), (3, 7));
    let did = two.bytes(7, &said(0, 1, 99, 6, 0));
    assert!(matches!(&did[..], [Did::Send(7, bytes)] if bytes[31] == 7), "told, not counted");
    let did = two.bytes(7, &said(0, 1, -1, 8, 0));
    assert!(
        matches!(&did[..], [Did::Send(7, bytes)] if bytes[31] == 7),
        "the round of one that abstains is not followed, but its first word is answered"
    );
    assert_eq!(two.election.round(), 7);
}

#[test]
fn old_votes_for_a_server_that_lost_its_history_do_not_make_it_lead() {
    for (zxid, start) in [
        (None, Start::Own),
        (Some(Zxid(1)), Start::Own),
        (Some(Zxid(5)), Start::HandOver { to: ServerId(1) }),
    ] {
        let mut two = Bench::new(2);
        two.call(|e, cx| e.look(Candidate { zxid, epoch: Epoch(0) }, start, cx));
        two.opened(7, Some(1));
        two.greet(8, 3);
        for (state, round) in [(0, 1), (0, 2), (1, 3)] {
            for link in [7, 8] {
                two.bytes(link, &said(state, 2, 5, round, 0));
                assert_eq!(two.event, None, "{zxid:?} {start:?} {state} {round}");
            }
        }
    }
}
