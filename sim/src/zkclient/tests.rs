use super::*;
use crate::client::TestAsk;
use crate::codec::Writer;
use crate::workload::Write;
use bytes::Bytes;
use vivarium_core::ids::SessionId;

fn client() -> (ZkClient, ClientOut) {
    client_of(1)
}

fn client_of(seed: u64) -> (ZkClient, ClientOut) {
    let spec = ClientSpec {
        id: ClientId(0),
        servers: vec![ServerId(1)],
        session_timeout_ms: 3000,
        seed,
        starts: SimTime::ZERO,
        pipeline: 1,
        think_us: 10_000,
        reads_only: false,
        fresh_xids: false,
        other_timeout_ms: None,
        returns: false,
        asks_ahead: false,
        operations: Operations::Listed(Vec::new()),
    };
    (ZkClient::new(spec, Workload::draw(1), 150_000, 0), ClientOut::new())
}

fn answer(session: i64) -> Bytes {
    let mut out = Writer::new();
    out.i32(0).i32(if session == 0 { 0 } else { 3000 }).i64(session);
    out.buffer(Some(&[7; 16])).bool(false);
    out.frame()
}

/// Connected, and granted this session.
fn attach(client: &mut ZkClient, out: &mut ClientOut, now: SimTime, session: i64) -> ConnId {
    client.on_wake(now, out);
    let conn = client.conn().unwrap();
    client.on_event(now, ClientEvent::Connected { conn }, out);
    client.on_event(now, ClientEvent::Bytes { conn, bytes: answer(session) }, out);
    conn
}

fn facts(out: &mut ClientOut) -> Vec<ClientFact> {
    let fact = |ask| match ask {
        TestAsk::Fact(fact) => Some(fact),
        TestAsk::Connect(..) | TestAsk::Send(..) | TestAsk::Close(_) => None,
    };
    out.take_for_test().into_iter().filter_map(fact).collect()
}

#[test]
fn a_wrong_password_is_tried_now_and_then_and_its_refusal_ends_no_session() {
    let mut refused = 0;
    for seed in 0..300 {
        let (mut client, mut out) = client_of(seed);
        let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
        client.on_event(SimTime::from_ms(1), ClientEvent::Closed { conn }, &mut out);
        out.take_for_test();
        attach(&mut client, &mut out, SimTime::from_secs(1), 0);
        let facts = facts(&mut out);
        let forged = |fact: &ClientFact| {
            matches!(fact, ClientFact::Session(SessionFact::Forged { granted: false, .. }))
        };
        if facts.iter().any(forged) {
            refused += 1;
            assert!(client.session.is_some() && facts.len() == 1, "{facts:?}");
        }
    }
    assert!((3..30).contains(&refused), "{refused} of 300");
}

#[test]
fn a_session_is_resumed_with_its_id_and_given_up_when_it_is_expired() {
    let (mut client, mut out) = client();
    let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
    client.on_event(SimTime::from_ms(1), ClientEvent::Closed { conn }, &mut out);
    out.take_for_test();
    attach(&mut client, &mut out, SimTime::from_secs(1), 0);
    let facts = facts(&mut out);
    let asked = Some(SessionId(9));
    assert!(facts.iter().any(|fact| matches!(
        fact,
        ClientFact::Session(SessionFact::Asked { resume, .. }) if *resume == asked
    )));
    assert!(facts.iter().any(|fact| matches!(
        fact,
        ClientFact::Session(SessionFact::Expired { session: SessionId(9), .. })
    )));
    assert!(client.session.is_none());
}

#[test]
fn what_is_in_flight_when_the_connection_ends_is_unknown() {
    let (mut client, mut out) = client();
    let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
    client.send(SimTime::ZERO, Call::Sync { path: "/".into() }, &mut out);
    client.on_event(SimTime::ZERO, ClientEvent::Closed { conn }, &mut out);
    let unknown = |fact: &ClientFact| matches!(fact, ClientFact::Unknown { op } if op.xid == 1);
    assert!(facts(&mut out).iter().any(unknown));
}

/// What the second connection of a session begins with, and what a straggler over the first one has.
fn numbers(fresh_xids: bool) -> Vec<(i32, i32)> {
    let (mut client, mut out) = client();
    client.spec.fresh_xids = fresh_xids;
    attach(&mut client, &mut out, SimTime::ZERO, 9);
    let sync = || Call::Sync { path: "/".into() };
    client.send(SimTime::ZERO, sync(), &mut out);
    client.send(SimTime::ZERO, sync(), &mut out);
    let stray = Write::Delete {
        path: crate::workload::Target::Path("/a".into()),
        version: crate::workload::Version::Any,
    };
    client.move_away(SimTime::ZERO, Some(Stray::Write(stray)), &mut out);
    facts(&mut out);
    attach(&mut client, &mut out, SimTime::from_secs(1), 9);
    client.send(SimTime::from_secs(1), sync(), &mut out);
    let mut sent = Vec::new();
    for fact in facts(&mut out) {
        if let ClientFact::Invoke { op, .. } = fact {
            sent.push((op.xid, op.cxid));
        }
    }
    sent
}

/// Real clients do: then numbers on the wire mean something only together with their connection.
#[test]
fn a_client_may_number_its_requests_anew_on_each_connection() {
    assert_eq!(numbers(true), [(3, 3), (4, 1)]);
    assert_eq!(numbers(false), [(3, 3), (4, 4)]);
}

#[test]
fn chunk_borders_do_not_matter_and_order_does() {
    let (mut client, mut out) = client();
    let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
    client.send(SimTime::ZERO, Call::Delete { path: "/a".into(), version: -1 }, &mut out);
    let mut reply = Writer::new();
    reply.i32(1).i64(5).i32(-101);
    for byte in reply.frame() {
        let bytes = Bytes::copy_from_slice(&[byte]);
        client.on_event(SimTime::ZERO, ClientEvent::Bytes { conn, bytes }, &mut out);
    }
    let facts = facts(&mut out);
    assert!(matches!(facts.last(), Some(ClientFact::Err { zxid: 5, code: -101, .. })));
    let mut stray = Writer::new();
    stray.i32(7).i64(6).i32(0);
    let bytes = stray.frame();
    client.on_event(SimTime::ZERO, ClientEvent::Bytes { conn, bytes }, &mut out);
    assert!(client.conn().is_none());
}

#[test]
fn it_pings_at_a_third_and_gives_up_at_two_thirds() {
    let (mut client, mut out) = client();
    attach(&mut client, &mut out, SimTime::ZERO, 9);
    assert_eq!(client.deadline(), Some(SimTime::from_secs(1)));
    client.on_wake(SimTime::from_secs(1), &mut out);
    assert!(facts(&mut out).iter().any(|fact| matches!(fact, ClientFact::Ping { .. })));
    client.on_wake(SimTime::from_secs(2), &mut out);
    assert!(client.conn().is_none());
}

/// It does not ask again and again whether there is room, and goes on when it would have found some.
#[test]
fn what_has_no_room_waits_for_an_answer() {
    let ms = |ms: u64| SimTime::ZERO.plus(ms * 1000);
    let silence = Timed { at: ms(5), operation: Operation::FallSilent { us: 1 } };
    let operations = Operations::Listed(vec![silence]);
    let spec = ClientSpec { operations, ..client().0.spec };
    let (mut client, mut out) =
        (ZkClient::new(spec, Workload::draw(1), 150_000, 0), ClientOut::new());
    let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
    assert_eq!(client.deadline(), Some(ms(5)));
    client.send(SimTime::ZERO, Call::Sync { path: "/".into() }, &mut out);
    assert_eq!(client.deadline(), Some(ms(1000)), "the next ping");
    let mut reply = Writer::new();
    reply.i32(1).i64(5).i32(-101);
    let answered = ms(7).plus(500);
    client.on_event(answered, ClientEvent::Bytes { conn, bytes: reply.frame() }, &mut out);
    assert_eq!(client.deadline(), Some(ms(8)));
}

/// Some leave before they are let in: they come back, or nobody knows of their session any more.
#[test]
fn a_client_that_returns_leaves_some_connections_that_it_asks_over() {
    let (mut came_back, mut died) = (0, 0);
    for seed in 0..300 {
        let operations = Operations::Drawn;
        let spec = ClientSpec { seed, returns: true, operations, ..client().0.spec };
        let (mut client, mut out) =
            (ZkClient::new(spec, Workload::draw(1), 150_000, 0), ClientOut::new());
        let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
        let (left, back) = (SimTime::from_ms(1), SimTime::from_ms(250));
        client.on_event(left, ClientEvent::Closed { conn }, &mut out);
        client.on_wake(back, &mut out);
        let Some(conn) = client.conn() else { continue };
        client.on_event(back, ClientEvent::Connected { conn }, &mut out);
        let Some(due) = client.deadline().filter(|due| due.since(back) < client.patience_us())
        else {
            continue;
        };
        client.on_wake(due, &mut out);
        assert!(client.conn().is_none(), "seed {seed}");
        *(if client.session.is_some() { &mut came_back } else { &mut died }) += 1;
    }
    assert!((5..30).contains(&came_back) && (5..30).contains(&died), "{came_back} {died}");
}

#[test]
fn what_is_asked_ahead_follows_the_connect_request_and_counts_once_the_client_is_let_in() {
    for fresh_xids in [false, true] {
        let (mut client, mut out) = client();
        (client.spec.asks_ahead, client.spec.fresh_xids) = (true, fresh_xids);
        let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
        let asked = |out: &mut ClientOut| {
            let (mut sent, mut invoked) = (0, Vec::new());
            for ask in out.take_for_test() {
                match ask {
                    TestAsk::Send(..) => sent += 1,
                    TestAsk::Fact(ClientFact::Invoke { op, call }) => {
                        invoked.push((op.connection, op.cxid, call));
                    }
                    TestAsk::Fact(_) | TestAsk::Connect(..) | TestAsk::Close(_) => {}
                }
            }
            (sent, invoked)
        };
        assert_eq!(asked(&mut out), (1, Vec::new()), "a new session has nothing to say");
        client.send(SimTime::ZERO, Call::WhoAmI, &mut out);
        client.learn_proof("digest", "ann:a");
        client.on_event(SimTime::from_ms(1), ClientEvent::Closed { conn }, &mut out);
        out.take_for_test();
        let now = SimTime::from_secs(1);
        client.on_wake(now, &mut out);
        let conn = client.conn().unwrap();
        client.on_event(now, ClientEvent::Connected { conn }, &mut out);
        assert_eq!(asked(&mut out), (3, Vec::new()));
        client.on_event(now, ClientEvent::Bytes { conn, bytes: answer(9) }, &mut out);
        let first = if fresh_xids { 1 } else { 2 };
        let shows = Call::AddAuth { scheme: "digest".into(), proof: "ann:a".into() };
        let looks = Call::Exists { path: "/".into(), watch: false };
        assert_eq!(asked(&mut out), (0, vec![(2, first, shows), (2, first + 1, looks)]));
    }
}

/// Whatever a server sends, no client panics.
#[test]
fn random_bytes_are_survived() {
    for seed in 0..300 {
        let (mut client, mut out) = client();
        let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
        client.send(SimTime::ZERO, Call::Sync { path: "/".into() }, &mut out);
        let mut rng = SimRng::new(seed, Stream::Workload, 1);
        let mut bytes = vec![0, 0, 0, rng.below(60) as u8];
        bytes.extend((0..100).map(|_| rng.below(4) as u8));
        client.on_event(SimTime::ZERO, ClientEvent::Bytes { conn, bytes: bytes.into() }, &mut out);
    }
}

/// Each new connection of some clients begins with a sync and a read.
#[test]
fn a_client_that_greets_asks_for_a_sync_on_each_connection() {
    let mut greeters = 0;
    for seed in 0..100 {
        let spec = ClientSpec { seed, operations: Operations::Drawn, ..client().0.spec };
        let (mut client, mut out) =
            (ZkClient::new(spec, Workload::draw(1), 150_000, 0), ClientOut::new());
        let greets = [0, 1].map(|second| {
            let now = SimTime::from_secs(second);
            let conn = attach(&mut client, &mut out, now, 9);
            client.on_wake(now, &mut out);
            client.on_event(now, ClientEvent::Closed { conn }, &mut out);
            let facts = facts(&mut out);
            let forges = |fact: &ClientFact| {
                matches!(fact, ClientFact::Session(SessionFact::Forged { .. }))
            };
            let syncs = |fact: &ClientFact| {
                matches!(fact, ClientFact::Invoke { call: Call::Sync { .. }, op } if op.server == ServerId(1))
            };
            (!facts.iter().any(forges)).then(|| facts.iter().any(syncs))
        });
        let [first, second] = greets;
        assert!(first.is_some(), "there is no session yet that could be forged");
        assert!(second.is_none_or(|second| first == Some(second)), "seed {seed}");
        greeters += u32::from(first == Some(true));
    }
    assert!((15..45).contains(&greeters), "{greeters}");
}

/// Of the clients that never write some leave a server as soon as it has given them a session, before they
/// have seen any zxid there; none does in the calm phase, or with a session that it had before.
#[test]
fn some_flee_with_a_fresh_session() {
    let mut fled = 0;
    for seed in 0..200 {
        let spec = ClientSpec { operations: Operations::DrawnReads, ..client_of(seed).0.spec };
        let mut plan = Plan::new(&spec, Workload::draw(1), 150_000);
        let drops = |plan: &Plan| plan.next() == Some(&Operation::DropConnection);
        let drew = drops(&plan);
        plan.connected(SimTime::ZERO, 10, false);
        assert!(drew || !drops(&plan), "seed {seed}");
        plan.connected(SimTime::ZERO, 10, true);
        fled += u32::from(drops(&plan) && !drew);
        plan.take(SimTime::ZERO);
        plan.becomes_calm(SimTime::ZERO);
        plan.connected(SimTime::ZERO, 10, true);
        assert!(!drops(&plan), "seed {seed}");
    }
    assert!((10..=50).contains(&fled), "{fled} of 200");
}

fn detached(facts: &[ClientFact]) -> Vec<bool> {
    let cut_off = |fact: &ClientFact| {
        let ClientFact::Session(SessionFact::Detached { cut_off, .. }) = fact else { return None };
        Some(*cut_off)
    };
    facts.iter().filter_map(cut_off).collect()
}

#[test]
fn a_client_knows_what_it_deserves() {
    let ends = |call: Option<Call>, silent: bool, closed: bool| {
        let (mut client, mut out) = client();
        let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
        if let Some(call) = call {
            client.send(SimTime::ZERO, call, &mut out);
        }
        if silent {
            client.fall_silent(SimTime::ZERO, 1_000, &mut out);
        }
        match closed {
            true => client.on_event(SimTime::ZERO, ClientEvent::Closed { conn }, &mut out),
            false => client.drop_connection(SimTime::ZERO, &mut out),
        }
        detached(&facts(&mut out))
    };
    assert_eq!(ends(None, false, true), [true]);
    assert_eq!(ends(Some(Call::WhoAmI), false, true), [true]);
    assert_eq!(ends(None, false, false), [false], "its own doing");
    assert_eq!(ends(None, true, true), [false]);
    assert_eq!(ends(Some(Call::CloseSession), false, true), [false]);
    let (scheme, proof) = ("sasl".to_owned(), "no".to_owned());
    assert_eq!(ends(Some(Call::AddAuth { scheme, proof }), false, true), [false]);
}

/// A server closes behind its answer to what spoils a connection. The next connection is another one.
#[test]
fn a_spoilt_connection_stays_spoilt_when_the_answer_is_there() {
    let (mut client, mut out) = client();
    let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
    client.send(SimTime::ZERO, Call::CloseSession, &mut out);
    client.outstanding.clear();
    client.on_event(SimTime::ZERO, ClientEvent::Closed { conn }, &mut out);
    assert_eq!(detached(&facts(&mut out)), [false]);
    client.forgery = None;
    let conn = attach(&mut client, &mut out, SimTime::from_secs(1), 9);
    client.on_event(SimTime::from_secs(1), ClientEvent::Closed { conn }, &mut out);
    assert_eq!(detached(&facts(&mut out)), [true]);
}

/// What a client does that is told that the run ends, and has one more connection if it asks for it: facts,
/// and the timeouts that it asks for.
fn leaves(seed: u64) -> (Farewell, Vec<i32>, Vec<ClientFact>, Option<SimTime>) {
    let (mut client, mut out) = client_of(seed);
    attach(&mut client, &mut out, SimTime::ZERO, 9);
    facts(&mut out);
    let now = SimTime::from_ms(1);
    client.on_event(now, ClientEvent::Leave, &mut out);
    let farewell = client.leaving.expect("it leaves");
    let mut told = facts(&mut out);
    let later = SimTime::from_secs(1);
    if farewell == Farewell::ComesBackToDie {
        attach(&mut client, &mut out, later, 9);
        told.extend(facts(&mut out));
    }
    let timeouts = told.iter().filter_map(|fact| {
        let ClientFact::Session(SessionFact::Asked { timeout_ms, .. }) = fact else { return None };
        Some(*timeout_ms)
    });
    (farewell, timeouts.collect(), told, client.deadline())
}

#[test]
fn some_clients_say_that_they_leave_and_others_are_gone() {
    let (mut closes, mut dies, mut silent, mut comes_back) = (0, 0, 0, 0);
    for seed in 0..100 {
        let (farewell, timeouts, told, deadline) = leaves(seed);
        let said = |wanted: Call| {
            told.iter()
                .any(|fact| matches!(fact, ClientFact::Invoke { call, .. } if *call == wanted))
        };
        assert_eq!(said(Call::CloseSession), farewell == Farewell::Closes);
        match farewell {
            Farewell::Closes => closes += 1,
            Farewell::Dies => {
                dies += 1;
                assert!(detached(&told) == [false] && deadline.is_none());
            }
            Farewell::FallsSilent => {
                silent += 1;
                assert!(detached(&told).is_empty() && deadline == Some(SimTime::NEVER));
            }
            // Where it does not begin with a forged request.
            Farewell::ComesBackToDie if timeouts.is_empty() => {}
            Farewell::ComesBackToDie => {
                comes_back += 1;
                assert_eq!((timeouts, detached(&told)), (vec![1], vec![false, false]));
                assert_eq!(deadline, None);
            }
        }
    }
    assert!(closes > 30 && dies > 10 && silent > 3 && comes_back > 5);
}

#[test]
fn an_impostor_asks_for_the_session_beside_its_client_and_changes_nothing() {
    let mut refused = 0;
    for (seed, closes) in (0..200).flat_map(|seed| [(seed, true), (seed, false)]) {
        let (mut client, mut out) = client_of(seed);
        let mine = attach(&mut client, &mut out, SimTime::ZERO, 9);
        out.take_for_test();
        let now = client.impostor.at();
        if now == SimTime::NEVER {
            continue;
        }
        assert!(now <= SimTime::from_secs(3) && client.deadline() <= Some(now));
        client.let_impostor_try(now, &mut out);
        let asks = out.take_for_test();
        let [TestAsk::Connect(conn, ServerId(1))] = asks[..] else { panic!("{asks:?}") };
        client.on_event(now, ClientEvent::Connected { conn }, &mut out);
        let asks = out.take_for_test();
        assert!(matches!(asks[..], [TestAsk::Send(to, _)] if to == conn), "{asks:?}");
        let answered = ClientEvent::Bytes { conn, bytes: answer(0) };
        let event = if closes { ClientEvent::Closed { conn } } else { answered };
        client.on_event(now, event, &mut out);
        let facts = facts(&mut out);
        assert!(
            matches!(facts[..], [ClientFact::Session(SessionFact::Forged { granted: false, .. })]),
            "{facts:?}"
        );
        assert!(client.conn() == Some(mine) && client.impostor == Impostor::Nobody);
        refused += 1;
    }
    assert!((8..50).contains(&refused), "{refused} of 400");
}
