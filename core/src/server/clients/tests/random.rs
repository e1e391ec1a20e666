//! Any interleaving of clients, replicated side and kernel: every client sees its own order.

use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::rig::{Rig, config, connect, frame, int};
use super::{create, get, set, sync};
use crate::config::Config;
use crate::ids::{LinkId, SessionId};
use crate::request::change::Standing;
use crate::session::password::password;
use crate::time::Span;
use crate::wire::client::Op;

#[derive(Clone, Debug)]
enum Step {
    Send { client: usize, what: Vec<What> },
    Work(usize),
    Sent { client: usize, bytes: u64 },
    Reconnect { client: usize },
    Time(u64),
}

#[derive(Clone, Copy, Debug)]
enum What {
    Write,
    Read,
    Sync,
    Ping,
    Malformed,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        3 => Just(What::Write),
        4 => Just(What::Read),
        1 => Just(What::Sync),
        1 => Just(What::Ping),
        1 => Just(What::Malformed),
    ];
    let client = 0..CLIENTS;
    prop_oneof![
        6 => (client.clone(), proptest::collection::vec(what, 1..6))
            .prop_map(|(client, what)| Step::Send { client, what }),
        6 => (1..5_usize).prop_map(Step::Work),
        3 => (client.clone(), 1..800_u64).prop_map(|(client, bytes)| Step::Sent { client, bytes }),
        1 => client.prop_map(|client| Step::Reconnect { client }),
        1 => (1..80_u64).prop_map(Step::Time),
    ]
}

const CLIENTS: usize = 3;

/// One client as the test remembers it.
struct Client {
    session: SessionId,
    link: u64,
    xid: i32,
    /// Per request that awaits a reply: its xid, its error, and the value that a read must show.
    awaited: Vec<(i32, i32, Option<u8>)>,
    /// What this link wrote last to the client's own node.
    wrote: Option<u8>,
    last_zxid: i64,
}

struct World {
    rig: Rig,
    clients: Vec<Client>,
    next_link: u64,
    next_value: u8,
}

impl World {
    fn new(config: Config) -> Self {
        let mut rig = Rig::with(config);
        let mut clients = Vec::new();
        for link in 1..=CLIENTS as u64 {
            let session = rig.session(link);
            rig.request(link, 1, &create(&format!("/{link}")));
            rig.work();
            rig.take_sent(link);
            let (awaited, wrote) = (Vec::new(), None);
            clients.push(Client { session, link, xid: 1, awaited, wrote, last_zxid: 0 });
        }
        Self { rig, clients, next_link: 100, next_value: 0 }
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Send { client, what } => self.send(*client, what),
            Step::Work(count) => {
                for _ in 0..*count {
                    self.rig.work_one();
                }
            }
            Step::Sent { client, bytes } => {
                let link = LinkId(self.clients[*client].link);
                self.rig.call(|clients, cx| clients.on_sent(link, *bytes, cx));
            }
            Step::Reconnect { client } => self.reconnect(*client),
            Step::Time(ms) => {
                self.rig.now = self.rig.now + Span::from_ms(*ms);
                self.rig.call(|clients, cx| clients.on_wake(cx));
            }
        }
        self.read_replies();
    }

    fn send(&mut self, client: usize, what: &[What]) {
        let path = format!("/{}", client + 1);
        let mut bytes = Vec::new();
        let known = &mut self.clients[client];
        for what in what {
            known.xid += 1;
            let (xid, err, shows, op) = match what {
                What::Write => {
                    self.next_value = self.next_value.wrapping_add(1);
                    known.wrote = Some(self.next_value);
                    (known.xid, 0, None, set(&path, [self.next_value; 100].to_vec()))
                }
                What::Read => (known.xid, 0, known.wrote, get(&path, false)),
                What::Sync => (known.xid, 0, None, sync()),
                What::Ping => (-2, 0, None, Op::Ping),
                What::Malformed => {
                    known.awaited.push((known.xid, -5, None));
                    bytes.extend([0, 0, 0, 8]);
                    bytes.extend(known.xid.to_be_bytes());
                    bytes.extend([0, 0, 0, 4]);
                    continue;
                }
            };
            known.awaited.push((xid, err, shows));
            bytes.extend(frame(xid, &op));
        }
        self.rig.bytes(known.link, &bytes);
    }

    /// The same session on a new link, while the old one still stands; xids start anew.
    fn reconnect(&mut self, client: usize) {
        let known = &mut self.clients[client];
        self.rig.take_sent(known.link);
        known.link = self.next_link;
        self.next_link += 1;
        known.xid = 1;
        known.wrote = None;
        known.awaited.clear();
        self.rig.open(known.link);
        let hello = connect(Some(known.session), &password(known.session), 0);
        self.rig.bytes(known.link, &hello);
        // The answer may overtake writes that the old link has asked for.
        let session = known.session;
        self.rig.call(|clients, cx| clients.revalidated(session, Some(Standing::Global), cx));
        let response = self.rig.take_sent(known.link);
        assert_eq!(int(&response[8..12]), 5000, "the session lives");
    }

    fn read_replies(&mut self) {
        for known in &mut self.clients {
            for (xid, zxid, err, body) in self.rig.replies(known.link) {
                assert!(!known.awaited.is_empty(), "a reply to nothing: {xid}");
                let (wanted, wanted_err, shows) = known.awaited.remove(0);
                assert_eq!((xid, err), (wanted, wanted_err));
                assert!(zxid >= known.last_zxid, "the client's view went back");
                known.last_zxid = zxid;
                if let Some(value) = shows {
                    assert_eq!(body[4], value, "request {xid} shows its own last write");
                }
            }
        }
    }

    /// Everyone answers and reads: nothing may be left over.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.rig.work();
            for client in 0..CLIENTS {
                let link = LinkId(self.clients[client].link);
                self.rig.call(|clients, cx| clients.on_sent(link, 1000, cx));
            }
            self.read_replies();
        }
    }
}

/// The last word on each link that still stands is "read on".
fn assert_nobody_is_held(world: &mut World) {
    let seen = world.rig.seen();
    for known in &world.clients {
        let (hold, resume) = (format!("hold {}", known.link), format!("resume {}", known.link));
        let mut held = false;
        for what in &seen {
            assert!(!(*what == hold && held), "held twice");
            assert!(*what != resume || held, "resumed while not held");
            held = *what == hold || (held && *what != resume);
        }
        assert!(!held, "link {} is held for ever", known.link);
    }
}

proptest! {
    #[test]
    fn every_client_sees_its_own_order(
        steps in proptest::collection::vec(step(), 1..60),
        outstanding in 0..8_usize,
        high_water in 100..2000_u64,
    ) {
        let mut world = World::new(Config {
            link_high_water_bytes: high_water,
            link_limit_bytes: 1 << 20,
            global_outstanding_limit: outstanding,
            ..config()
        });
        for step in &steps {
            world.carry_out(step);
        }
        world.settle();
        for known in &world.clients {
            prop_assert!(known.awaited.is_empty(), "{:?} went unanswered", known.awaited);
        }
        prop_assert_eq!(world.rig.clients.outstanding(), 0);
        prop_assert_eq!(world.rig.clients.links(), CLIENTS);
        assert_nobody_is_held(&mut world);
    }

    /// Nothing that a client sends can make us fail, before or after its session stands.
    #[test]
    fn any_bytes_have_an_answer(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        op in prop_oneof![-15..120_i32, any::<i32>()],
        body in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..60),
    ) {
        let mut rig = Rig::new();
        rig.open(9);
        rig.session(1);
        rig.session(2);
        let mut request = (body.len() as u32 + 8).to_be_bytes().to_vec();
        request.extend([0, 0, 0, 1]);
        request.extend(op.to_be_bytes());
        request.extend(&body);
        rig.bytes(2, &request);
        for link in [9, 1] {
            for chunk in &chunks {
                rig.bytes(link, chunk);
            }
        }
        rig.work();
        prop_assert_eq!(rig.clients.outstanding(), 0);
    }
}
