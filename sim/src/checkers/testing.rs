//! Synthetic histories for the tests of checkers: three servers, of which each step is one event.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use vivarium_core::config::{Address, Config, DigestAlg, EnsembleConfig, Member, MemberRole};
use vivarium_core::ids::{Epoch, ServerId, SessionId, Zxid};
use vivarium_core::server::note::{Note, Phase, StateDigest};
use vivarium_core::server::view::{Counters, View};

use vivarium_core::wire::client::EventKind;

use crate::checkers::canon::Canon;
use crate::checkers::damage::Damage;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, RunSpec};
use crate::disk_view::DiskView;
use crate::history::{Call, ClientFact, CreateCall, Life, Reply, RequestId, SessionFact};
use crate::ids::{ClientId, NodeId, SimTime};
use crate::observe::{CrashKind, SimEvent};
use crate::oracle::access;
use crate::oracle::txn::{CreateTxn, Header, Txn, build::payload};

pub(crate) fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

pub(crate) fn phase(phase: Phase, epoch: u32) -> Note {
    Note::PhaseEntered { phase, epoch: Epoch(epoch) }
}

pub(crate) fn established(epoch: u32) -> Note {
    Note::Established { epoch: Epoch(epoch), history: None }
}

pub(crate) fn established_with(epoch: u32, history: Zxid) -> Note {
    Note::Established { epoch: Epoch(epoch), history: Some(history) }
}

pub(crate) fn proposed(zxid: Zxid, hash: u64) -> Note {
    Note::Proposed { zxid, hash, payload: Bytes::new() }
}

pub(crate) fn applied(zxid: Zxid, hash: u64) -> Note {
    Note::Applied { zxid, hash, digest: StateDigest::default(), recovered: false }
}

/// A server that serves nobody.
pub(crate) fn view(server: u64) -> View {
    View {
        me: ServerId(server),
        phase: Phase::FollowingBroadcast,
        leader: None,
        accepted: Epoch(1),
        current: Epoch(1),
        logged: None,
        durable: None,
        committed: None,
        applied: None,
        digest: StateDigest::default(),
        serving: true,
        read_only: false,
        sessions: 0,
        local_sessions: 0,
        tracked_sessions: 0,
        clients: 0,
        nodes: 0,
        watches: 0,
        outstanding: 0,
        received: 0,
        awaited: Vec::new(),
        synced: 0,
        counters: Counters::default(),
    }
}

pub(crate) fn header(zxid: Zxid, session: i64, cxid: i32) -> Header {
    Header { session, cxid, zxid, time: 0 }
}

pub(crate) fn create_call(path: &str, sequential: bool) -> CreateCall {
    CreateCall {
        path: path.into(),
        data: None,
        life: Life::Persistent,
        sequential,
        acl: access::open(),
        with_stat: false,
    }
}

const fn life(ephemeral: bool) -> Life {
    if ephemeral { Life::Ephemeral } else { Life::Persistent }
}

pub(crate) fn create_txn(path: &str, ephemeral: bool, parent_cversion: i32) -> CreateTxn {
    CreateTxn {
        kind: 1,
        path: path.into(),
        data: None,
        acl: Some([(31, "world".into(), "anyone".into())].into()),
        life: life(ephemeral),
        parent_cversion,
    }
}

/// A node that one user alone may do anything with.
pub(crate) fn closed_txn(path: &str) -> CreateTxn {
    let acl = [(access::ALL, "digest".to_owned(), access::digest(DigestAlg::Sha1, "u:p"))];
    CreateTxn { acl: Some(acl.into()), ..create_txn(path, false, 1) }
}

/// Request `xid` of a session, on its first connection.
pub(crate) fn request(session: i64, xid: i32) -> RequestId {
    RequestId { session: SessionId(session), xid, connection: 1, server: ServerId(1), cxid: xid }
}

/// Durable images of a test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disks {
    txns: BTreeMap<ServerId, BTreeMap<Zxid, u64>>,
    current: BTreeMap<ServerId, Epoch>,
    accepted: BTreeMap<ServerId, Epoch>,
    /// The newest of each server.
    pub snapshots: BTreeMap<ServerId, Zxid>,
    /// What all of them have of older ones.
    pub older_snapshots: Vec<Zxid>,
    pub rot_reach: Option<u64>,
}

impl Disks {
    pub(crate) fn put(&mut self, server: u64, zxid: Zxid, hash: u64) {
        self.txns.entry(ServerId(server)).or_default().insert(zxid, hash);
    }

    pub(crate) fn take(&mut self, server: u64, zxid: Zxid) {
        self.txns.entry(ServerId(server)).or_default().remove(&zxid);
    }

    pub(crate) fn clear(&mut self, server: u64) {
        self.txns.remove(&ServerId(server));
    }

    pub(crate) fn epoch(&mut self, server: u64, epoch: u32) {
        self.current.insert(ServerId(server), Epoch(epoch));
        self.accepted.insert(ServerId(server), Epoch(epoch));
    }

    /// acceptedEpoch alone.
    pub(crate) fn promise(&mut self, server: u64, epoch: u32) {
        self.accepted.insert(ServerId(server), Epoch(epoch));
    }

    pub(crate) fn lose_epochs(&mut self, server: u64) {
        self.current.remove(&ServerId(server));
        self.accepted.remove(&ServerId(server));
    }
}

impl DiskView for Disks {
    fn durable_has_txn(&self, server: ServerId, zxid: Zxid, hash: u64) -> bool {
        self.durable_snapshot(server) >= Some(zxid) || self.durable_has_record(server, zxid, hash)
    }
    fn durable_has_record(&self, server: ServerId, zxid: Zxid, hash: u64) -> bool {
        self.txns.get(&server).is_some_and(|txns| txns.get(&zxid) == Some(&hash))
    }
    fn durable_last_log(&self, server: ServerId) -> Option<Zxid> {
        self.txns.get(&server)?.keys().last().copied()
    }
    fn durable_snapshot(&self, server: ServerId) -> Option<Zxid> {
        self.snapshots.get(&server).copied()
    }
    fn durable_snapshots(&self, server: ServerId) -> Vec<Zxid> {
        self.older_snapshots.iter().chain(self.snapshots.get(&server)).copied().collect()
    }
    fn durable_log(&self, server: ServerId) -> Vec<Zxid> {
        self.txns.get(&server).map(|txns| txns.keys().copied().collect()).unwrap_or_default()
    }
    fn rot_reach(&self, _: ServerId) -> Option<u64> {
        self.rot_reach
    }
    fn durable_accepted_epoch(&self, server: ServerId) -> Option<Epoch> {
        self.accepted.get(&server).copied()
    }
    fn durable_current_epoch(&self, server: ServerId) -> Option<Epoch> {
        self.current.get(&server).copied()
    }
}

/// As in a run, where a check is called only for what it hears; and were it called for the rest, that
/// would change nothing.
pub(crate) fn tell<C: Check + ?Sized>(
    check: &mut C,
    cx: &Cx<'_>,
    event: &SimEvent,
    fresh: bool,
) -> Result<(), String> {
    let hears = check.hears();
    if hears.has(Topic::of(event) as usize) || (fresh && hears.has(Topic::Fresh as usize)) {
        return check.event(cx, event);
    }
    let before = format!("{check:?}");
    assert_eq!(check.event(cx, event), Ok(()), "{before} judges what it does not hear: {event:?}");
    assert_eq!(before, format!("{check:?}"), "it learns from what it does not hear: {event:?}");
    Ok(())
}

/// One check, fed by hand.
pub(crate) struct Run<C> {
    pub check: C,
    pub canon: Canon,
    pub damage: Damage,
    pub disks: Disks,
    pub now: SimTime,
    pub spec: RunSpec,
}

impl<C: Check> Run<C> {
    pub(crate) fn new(check: C) -> Self {
        Self::with_config(check, |_| ())
    }

    /// Of a cluster whose servers are configured otherwise.
    pub(crate) fn with_config(check: C, set: impl Fn(&mut Config)) -> Self {
        let mut run = Self {
            check,
            canon: Canon::default(),
            damage: Damage::default(),
            disks: Disks::default(),
            now: SimTime::ZERO,
            spec: RunSpec { white_box: true, drift_ppm: 0, recorded: false },
        };
        let mut servers = configs();
        servers.iter_mut().for_each(set);
        run.feed(NodeId::World, &SimEvent::Cluster { servers, apache: Vec::new() })
            .expect("no statement is about this");
        run
    }

    pub(crate) fn feed(&mut self, node: NodeId, event: &SimEvent) -> Result<(), String> {
        self.now = self.now.plus(1000);
        self.due()?;
        self.feed_at_once(node, event)
    }

    /// The same, at the moment of what was fed last.
    pub(crate) fn feed_at_once(&mut self, node: NodeId, event: &SimEvent) -> Result<(), String> {
        self.canon.learn(self.now, node, event);
        self.damage.learn(node, event, &self.disks);
        let cx = Cx {
            now: self.now,
            node,
            canon: &self.canon,
            damage: &self.damage,
            disks: &self.disks,
            spec: self.spec,
        };
        let fresh = !self.canon.fresh.is_empty();
        tell(&mut self.check, &cx, event, fresh)?;
        self.canon.forget(event);
        Ok(())
    }

    /// Lets time pass.
    pub(crate) fn wait_ms(&mut self, ms: u64) -> Result<(), String> {
        self.now = self.now.plus(ms * 1000);
        self.due()
    }

    /// What the check misses where the run would end now.
    pub(crate) fn wants(&mut self) -> Option<String> {
        let cx = Cx {
            now: self.now,
            node: NodeId::World,
            canon: &self.canon,
            damage: &self.damage,
            disks: &self.disks,
            spec: self.spec,
        };
        self.check.wants(&cx)
    }

    fn due(&mut self) -> Result<(), String> {
        self.canon.fresh.clear();
        while let Some(at) = self.check.deadline().filter(|at| *at <= self.now) {
            let cx = Cx {
                now: at,
                node: NodeId::World,
                canon: &self.canon,
                damage: &self.damage,
                disks: &self.disks,
                spec: self.spec,
            };
            self.check.due(&cx)?;
        }
        Ok(())
    }

    pub(crate) fn server(&mut self, server: u64, event: SimEvent) -> Result<(), String> {
        self.feed(NodeId::Server(ServerId(server)), &event)
    }

    pub(crate) fn note(&mut self, server: u64, note: Note) -> Result<(), String> {
        self.server(server, SimEvent::Note(note))
    }

    pub(crate) fn client(&mut self, fact: ClientFact) -> Result<(), String> {
        self.feed(NodeId::Client(ClientId(0)), &SimEvent::Client(fact))
    }

    pub(crate) fn boot(&mut self, server: u64) {
        self.server(server, SimEvent::Boot { incarnation: 1 }).expect("a boot is legal");
        let recovered = Note::Recovered {
            last: None,
            from: None,
            blank: false,
            digest: StateDigest::default(),
        };
        self.note(server, recovered).expect("an empty recovery is legal");
        self.server(server, SimEvent::Up { incarnation: 1 }).expect("to be up is legal");
    }

    pub(crate) fn boot_all(&mut self) {
        for server in 1..=3 {
            self.boot(server);
        }
    }

    pub(crate) fn crash(&mut self, server: u64) {
        self.server(server, SimEvent::Crash(CrashKind::Process)).expect("a crash is legal");
    }

    /// `leader` is established, everybody follows it, and all disks hold the epoch.
    pub(crate) fn establish(&mut self, leader: u64, epoch: u32) -> Result<(), String> {
        for server in 1..=3 {
            self.disks.epoch(server, epoch);
            self.note(server, Note::EpochAccepted { epoch: Epoch(epoch) })?;
            let promise = Note::Promised {
                epoch: Epoch(epoch),
                by: ServerId(server),
                last: Some(Zxid::ZERO),
                current: Epoch::ZERO,
            };
            self.note(leader, promise)?;
        }
        self.note(leader, phase(Phase::LeadingSynchronization, epoch))?;
        for server in 1..=3 {
            let history = None;
            self.note(server, Note::EpochEntered { epoch: Epoch(epoch), history })?;
            self.note(server, Note::AckedNewLeader { epoch: Epoch(epoch), history })?;
        }
        self.note(leader, established(epoch))?;
        for server in 1..=3 {
            let role = match server == leader {
                true => Phase::LeadingBroadcast,
                false => Phase::FollowingBroadcast,
            };
            self.note(server, phase(role, epoch))?;
            self.note(server, Note::Serving { on: true })?;
        }
        Ok(())
    }

    pub(crate) fn propose(&mut self, leader: u64, zxid: Zxid, hash: u64) -> Result<(), String> {
        self.note(leader, proposed(zxid, hash))
    }

    pub(crate) fn log(&mut self, server: u64, zxid: Zxid, hash: u64) -> Result<(), String> {
        self.note(server, Note::Logged { zxid, hash, source: zxid.epoch() })
    }

    /// A transaction without meaning goes all the way on all servers.
    pub(crate) fn write(&mut self, leader: u64, epoch: u32, counter: u32) -> Result<(), String> {
        let header = Header { session: 1, cxid: 0, zxid: z(epoch, counter), time: 0 };
        self.commit(leader, header, &Txn::Error { code: -101 })
    }

    /// This transaction goes all the way on all servers.
    pub(crate) fn commit(&mut self, leader: u64, header: Header, txn: &Txn) -> Result<(), String> {
        let zxid = header.zxid;
        let hash = zxid.0 ^ 0x5555;
        let payload = payload(header, txn);
        self.note(leader, Note::Proposed { zxid, hash, payload })?;
        for server in 1..=3 {
            self.log(server, zxid, hash)?;
            self.disks.put(server, zxid, hash);
            self.note(server, Note::AckedTxn { zxid, epoch: zxid.epoch() })?;
        }
        self.note(leader, Note::Committed { zxid })?;
        for server in 1..=3 {
            let full = self.canon.oracle.full_digest();
            let digest = StateDigest { tree: full, full };
            self.note(server, Note::Applied { zxid, hash, digest, recovered: false })?;
        }
        Ok(())
    }

    /// A session is created.
    pub(crate) fn open(&mut self, zxid: Zxid, session: i64) {
        let txn = Txn::CreateSession { timeout_ms: 1000 };
        self.commit(1, header(zxid, session, 0), &txn).expect("a new session is legal");
    }

    pub(crate) fn close(&mut self, zxid: Zxid, session: i64) -> Result<(), String> {
        let paths = self.canon.oracle.tree().ephemerals(session).into_iter().collect();
        let txn = Txn::CloseSession { paths: Some(paths) };
        self.commit(1, header(zxid, session, 0), &txn)
    }

    pub(crate) fn invoke(&mut self, session: i64, xid: i32, call: Call) -> Result<(), String> {
        self.client(ClientFact::Invoke { op: request(session, xid), call })
    }

    pub(crate) fn ok(
        &mut self,
        session: i64,
        xid: i32,
        zxid: Zxid,
        result: Reply,
    ) -> Result<(), String> {
        self.client(ClientFact::Ok { op: request(session, xid), zxid: zxid.to_wire(), result })
    }

    pub(crate) fn err(
        &mut self,
        session: i64,
        xid: i32,
        zxid: Zxid,
        code: i32,
    ) -> Result<(), String> {
        self.client(ClientFact::Err { op: request(session, xid), zxid: zxid.to_wire(), code })
    }

    /// Session is granted anew on its first connection.
    pub(crate) fn grant(
        &mut self,
        session: i64,
        timeout_ms: i32,
        connection: u32,
    ) -> Result<(), String> {
        self.client(ClientFact::Session(SessionFact::Granted {
            asked: None,
            got: SessionId(session),
            same_password: true,
            timeout_ms,
            server: ServerId(1),
            connection,
        }))
    }

    /// The creation of `path` is told to a watch.
    pub(crate) fn watch(&mut self, session: i64, path: &str, zxid: Zxid) -> Result<(), String> {
        self.told(session, EventKind::NodeCreated, path, zxid.to_wire())
    }

    pub(crate) fn told(
        &mut self,
        session: i64,
        kind: EventKind,
        path: &str,
        zxid: i64,
    ) -> Result<(), String> {
        let (session, path) = (SessionId(session), path.into());
        self.client(ClientFact::Watch { session, connection: 1, kind, path, zxid })
    }

    /// All faults end.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.feed(NodeId::World, &SimEvent::Healed { dead: Vec::new(), sick: Vec::new() })
    }

    /// A create directly below the root is invoked and committed, as it should be.
    pub(crate) fn create(
        &mut self,
        zxid: Zxid,
        session: i64,
        xid: i32,
        path: &str,
        ephemeral: bool,
    ) -> Result<(), String> {
        let call = CreateCall { life: life(ephemeral), ..create_call(path, false) };
        self.invoke(session, xid, Call::Create(call))?;
        let creates = self.canon.oracle.tree().node("/").expect("the root").record.cversion;
        let txn = Txn::Create(create_txn(path, ephemeral, creates + 1));
        self.commit(1, header(zxid, session, xid), &txn)
    }
}

pub(crate) fn configs() -> Vec<Config> {
    let address = || Address { host: "h".into(), port: 1 };
    let member = Member {
        quorum: address(),
        election: address(),
        role: MemberRole::Participant,
        client: None,
    };
    let ensemble = EnsembleConfig {
        members: (1..=3).map(|id| (ServerId(id), member.clone())).collect(),
        groups: BTreeMap::<u64, BTreeSet<ServerId>>::new(),
        weights: BTreeMap::new(),
        version: 0,
    };
    let config = |id| {
        let mut config = Config::with_defaults(ServerId(id), Some(ensemble.clone()), [0; 32]);
        config.full_digest = true;
        config
    };
    (1..=3).map(config).collect()
}

/// Every check of [`super::all`] as one.
#[derive(Debug)]
pub(crate) struct All(Vec<(&'static str, Box<dyn Check + Send>)>);

pub(crate) fn all_at_once() -> Run<All> {
    Run::new(All(super::all()))
}

impl Check for All {
    fn hears(&self) -> Topics {
        Topics::ALL
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let fresh = !cx.canon.fresh.is_empty();
        for (name, check) in &mut self.0 {
            tell(&mut **check, cx, event, fresh).map_err(|what| format!("{name}: {what}"))?;
        }
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        self.0.iter().filter_map(|(_, check)| check.deadline()).min()
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        for (name, check) in &mut self.0 {
            if check.deadline().is_some_and(|at| at <= cx.now) {
                check.due(cx).map_err(|what| format!("{name}: {what}"))?;
            }
        }
        Ok(())
    }
}
