//! A client plane on a standalone server of a few lines: bytes in, bytes out.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::config::{Config, FirstStart, Surroundings, Words};
use crate::ids::{Epoch, LinkId, ServerId, SessionId, Xid, Zxid};
use crate::request::change::{Change, Standing, WriteRequest};
use crate::request::prepare::Preparer;
use crate::server::action::{Action, Close, CloseReason, LinkAction};
use crate::server::clients::link::Link;
use crate::server::clients::{ClientCx, Clients, Submission};
use crate::server::input::Far;
use crate::server::note::Note;
use crate::server::outbox::Outbox;
use crate::server::view::{Counters, Service};
use crate::time::{Mono, Span, Stamp, Wall};
use crate::tree::Database;
use crate::txn::{LoggedTxn, Txn, TxnHeader};
use crate::wire::client::{ConnectRequest, Op, encode_request};

pub(super) const FIRST_SESSION: i64 = 0x0100_001b_c8ba_0000;

pub(super) fn config() -> Config {
    Config {
        me: ServerId(1),
        ensemble: None,
        separate_log_dir: false,
        tick: Span::from_ms(1000),
        init_limit_ticks: 10,
        sync_limit_ticks: 5,
        min_session_timeout_ms: 2000,
        max_session_timeout_ms: 20_000,
        max_client_connections: 0,
        max_connections: 0,
        leader_serves: true,
        jute_max_buffer: 0xf_ffff,
        global_outstanding_limit: 1000,
        throttle_requests: 0,
        snap_count: 1000,
        commit_log_count: 500,
        pre_alloc_bytes: 0,
        append_batch_bytes: 4096,
        snap_portion_bytes: 64 << 10,
        snap_preimage_limit_bytes: 64 << 20,
        snap_retain_count: 0,
        zxid_counter_limit: u32::MAX,
        first_start: FirstStart::AutoCreate,
        linearizable_sync: true,
        bounded_replies: true,
        bounded_sequences: true,
        event_history_bytes: 1 << 20,
        link_high_water_bytes: 1 << 20,
        link_limit_bytes: 1 << 24,
        greeting_limit: Span::from_ms(10_000),
        cnx_timeout: Span::from_ms(5000),
        min_notification: Span::from_ms(200),
        max_notification: Span::from_ms(60_000),
        finalize_wait: Span::from_ms(200),
        four_letter_words: Words::All,
        access: crate::config::AccessRules::default(),
        local_sessions: false,
        local_sessions_upgrading: false,
        read_only_mode: false,
        read_only_patience: Span::from_ms(2000),
        enforce_quota: false,
        reconfig_enabled: false,
        extended_types: true,
        containers: crate::config::ContainerRules::DEFAULT,
        full_digest: false,
        host: crate::config::HostConfig::with_defaults(),
        surroundings: Surroundings::default(),
        seed: [0; 32],
    }
}

pub(super) struct Rig {
    pub(super) epoch: Epoch,
    pub(super) config: Config,
    pub(super) clients: Clients,
    pub(super) db: Database,
    preparer: Preparer,
    counters: Counters,
    out: Outbox,
    pub(super) now: Mono,
    pub(super) wall: Wall,
    /// The next transaction's.
    pub(super) zxid: Zxid,
    next_session: i64,
    /// Where clients come from.
    pub(super) ip: &'static str,
    /// What was asked of the replicated side and not yet worked off.
    pub(super) asked: VecDeque<Submission>,
    sent: BTreeMap<LinkId, Vec<u8>>,
    /// Everything but sends, as it came.
    seen: Vec<Action>,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: Config) -> Self {
        let mut rig = Self {
            epoch: Epoch(0),
            preparer: Preparer::new(&config),
            config,
            clients: Clients::new(),
            db: Database::new(false),
            counters: Counters::default(),
            out: Outbox::new(),
            now: Mono(1_000_000),
            wall: Wall(1),
            zxid: Zxid(1),
            next_session: FIRST_SESSION,
            ip: "10.0.0.1",
            asked: VecDeque::new(),
            sent: BTreeMap::new(),
            seen: Vec::new(),
        };
        rig.call(|clients, cx| clients.start_serving(Service::Full, cx));
        rig
    }

    /// One call into the client plane, and all that comes of it.
    pub(super) fn call<T>(&mut self, call: impl FnOnce(&mut Clients, &mut ClientCx<'_>) -> T) -> T {
        let mut cx = ClientCx {
            config: &self.config,
            at: Stamp { mono: self.now, wall: self.wall },
            db: &self.db,
            logged: self.db.applied(),
            epoch: self.epoch,
            out: &mut self.out,
            counters: &mut self.counters,
        };
        let result = call(&mut self.clients, &mut cx);
        self.asked.extend(self.clients.take_submissions());
        self.clients.audit(self.config.throttle_requests != 0);
        for action in self.out.drain() {
            if let Action::Link(LinkAction::Send { link, bytes }) = action {
                self.sent.entry(link).or_default().extend_from_slice(&bytes);
            } else {
                self.seen.push(action);
            }
        }
        result
    }

    pub(super) fn open(&mut self, link: u64) {
        let far = Far { ip: self.ip.into(), port: 4000 };
        self.call(|clients, cx| clients.on_opened(LinkId(link), far, cx));
    }

    pub(super) fn bytes(&mut self, link: u64, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.call(|clients, cx| clients.on_bytes(LinkId(link), bytes, cx));
    }

    pub(super) fn request(&mut self, link: u64, xid: i32, op: &Op) {
        self.bytes(link, &frame(xid, op));
    }

    /// Opens a link and gives it a new session.
    pub(super) fn session(&mut self, link: u64) -> SessionId {
        self.open(link);
        self.bytes(link, &connect(None, &[], 0));
        let session = SessionId(self.next_session);
        self.work();
        self.take_sent(link);
        session
    }

    /// The replicated side does all that was asked of it, in order.
    pub(super) fn work(&mut self) {
        while self.work_one() {}
    }

    pub(super) fn work_one(&mut self) -> bool {
        let Some(submission) = self.asked.pop_front() else { return false };
        match submission {
            Submission::CreateSession { link, timeout_ms } => {
                let session = SessionId(self.next_session);
                self.next_session += 1;
                self.clients.session_assigned(link, session);
                self.change(session, 0, Change::CreateSession { timeout_ms });
            }
            Submission::Revalidate { session, .. } => {
                let valid = self.db.sessions().contains_key(&session);
                let found = valid.then_some(Standing::Global);
                self.call(|clients, cx| clients.revalidated(session, found, cx));
            }
            Submission::Write { session, cxid, ids, parsed, .. } => {
                let change = Change::try_from(parsed).expect("the client plane sends changes only");
                self.prepare(WriteRequest {
                    session,
                    standing: Standing::Global,
                    cxid: cxid.0,
                    ids,
                    change,
                });
            }
            Submission::CloseSession { session, cxid } => {
                self.change(session, cxid.0, Change::CloseSession);
            }
            Submission::Sync { link, cxid, .. } => {
                self.call(|clients, cx| clients.synced(link, cxid, cx));
            }
            Submission::Touch { .. }
            | Submission::Upgrade { .. }
            | Submission::CloseLocal { .. } => {}
            Submission::Word { link, word } => {
                self.call(|clients, cx| clients.word_answer(link, word, cx));
            }
        }
        true
    }

    pub(super) fn change(&mut self, session: SessionId, cxid: i32, change: Change) {
        self.prepare(WriteRequest {
            session,
            standing: Standing::Global,
            cxid,
            ids: [].into(),
            change,
        });
    }

    fn prepare(&mut self, request: WriteRequest) {
        let txn = self.preparer.prepare(&self.db, &request, self.zxid, self.wall);
        self.apply(&txn);
    }

    /// A transaction that no request of this server asked for.
    pub(super) fn foreign(&mut self, session: i64, cxid: i32, txn: Txn) {
        let session = SessionId(session);
        let header = TxnHeader { session, cxid, zxid: self.zxid, time: self.wall };
        self.apply(&LoggedTxn { header, txn, digest: None });
    }

    pub(super) fn apply(&mut self, txn: &LoggedTxn) {
        self.call(|clients, cx| clients.approaching(txn, cx));
        let mut events = Vec::new();
        let result = self.db.apply(txn, &mut events);
        self.preparer.applied(txn.header.zxid);
        self.zxid = Zxid(txn.header.zxid.0 + 1);
        self.call(|clients, cx| clients.applied(txn, &result, events, cx));
    }

    pub(super) fn take_sent(&mut self, link: u64) -> Vec<u8> {
        self.sent.remove(&LinkId(link)).unwrap_or_default()
    }

    /// The frames sent on a link since the last look, as (xid, zxid, err, body).
    pub(super) fn replies(&mut self, link: u64) -> Vec<(i32, i64, i32, Vec<u8>)> {
        let sent = self.take_sent(link);
        let mut rest = &sent[..];
        let mut replies = Vec::new();
        while !rest.is_empty() {
            let len = int(&rest[..4]) as usize;
            let body = &rest[4..4 + len];
            let zxid = i64::from_be_bytes(body[4..12].try_into().unwrap());
            replies.push((int(&body[..4]), zxid, int(&body[12..16]), body[16..].to_vec()));
            rest = &rest[4 + len..];
        }
        replies
    }

    pub(super) fn xids(&mut self, link: u64) -> Vec<i32> {
        self.replies(link).into_iter().map(|(xid, ..)| xid).collect()
    }

    /// How links were closed, held and resumed since the last look, shortly.
    pub(super) fn seen(&mut self) -> Vec<String> {
        let seen = self.seen.drain(..).map(|action| match action {
            Action::Link(LinkAction::Close { link, how: Close::Flush, why }) => {
                format!("close {link} {}", reason(&why))
            }
            Action::Link(LinkAction::Close { link, how: Close::Abort, why }) => {
                format!("abort {link} {}", reason(&why))
            }
            Action::Link(LinkAction::Hold { link }) => format!("hold {link}"),
            Action::Link(LinkAction::Resume { link }) => format!("resume {link}"),
            Action::Note(Note::SessionAttached { link, .. }) => format!("attached {link}"),
            Action::Note(Note::WatchFired { kind, .. }) => format!("fired {kind:?}"),
            other @ (Action::Link(_)
            | Action::Disk(_)
            | Action::Admin { .. }
            | Action::Note(_)
            | Action::Halt(_)) => panic!("the client plane has no business with {other:?}"),
        });
        seen.collect()
    }

    /// The writes and syncs that wait for the replicated side.
    pub(super) fn asked_cxids(&self) -> Vec<i32> {
        let cxids = self.asked.iter().filter_map(|submission| match submission {
            Submission::Write { cxid: Xid(cxid), .. }
            | Submission::Sync { cxid: Xid(cxid), .. }
            | Submission::CloseSession { cxid: Xid(cxid), .. } => Some(*cxid),
            Submission::CreateSession { .. }
            | Submission::Revalidate { .. }
            | Submission::Touch { .. }
            | Submission::Upgrade { .. }
            | Submission::CloseLocal { .. }
            | Submission::Word { .. } => None,
        });
        cxids.collect()
    }
}

impl Clients {
    /// What must hold between two calls.
    fn audit(&self, throttled: bool) {
        let links = || self.links.values();
        assert_eq!(self.outstanding, links().map(Link::outstanding).sum::<usize>());
        assert_eq!(self.attached, links().filter(|link| link.live().is_some()).count());
        assert_eq!(self.per_ip.values().sum::<usize>(), self.links.len());
        assert_eq!(self.silence.len(), self.links.len());
        for &(at, id) in &self.silence {
            let link = &self.links[&id];
            assert!(at == link.armed && at <= link.silent_at(), "a limit would pass unseen");
        }
        for (session, id) in &self.sessions {
            assert_eq!(self.links[id].session(), Some(*session));
        }
        for (id, link) in &self.links {
            if let Some(session) = link.session() {
                assert_eq!(self.sessions[&session], *id, "one link per session");
            }
            let over = self.over_limit.contains(id);
            assert_eq!(link.held, over || link.choked || waits_with_bytes(link), "link {id}");
            assert!(!over || throttled || link.outstanding() > 0, "link {id} starves");
        }
    }
}

fn waits_with_bytes(link: &Link) -> bool {
    link.in_handshake() && link.frames.buffered() > 0
}

fn reason(why: &CloseReason) -> &'static str {
    match why {
        CloseReason::Protocol(_) => "protocol",
        CloseReason::FrameTooLong { .. } => "too long",
        CloseReason::Finished => "finished",
        CloseReason::SessionExpired => "expired",
        CloseReason::SessionMoved => "moved",
        CloseReason::Superseded => "superseded",
        CloseReason::ClientAhead => "ahead",
        CloseReason::NoQuorum => "no quorum",
        CloseReason::NotServing => "not serving",
        CloseReason::TooManyConnections => "too many",
        CloseReason::DirectionRule => "direction",
        CloseReason::Silent => "silent",
        CloseReason::TooSlow => "too slow",
        CloseReason::RoleEnded => "role ended",
        CloseReason::Stopping => "stopping",
    }
}

pub(super) fn int(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes.try_into().unwrap())
}

pub(super) fn frame(xid: i32, op: &Op) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode_request(&mut out, Xid(xid), op);
    out.to_vec()
}

pub(super) fn connect(session: Option<SessionId>, password: &[u8], seen: i64) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: seen,
        timeout_ms: 5000,
        session,
        password: Bytes::copy_from_slice(password),
        read_only: Some(false),
    };
    let mut out = BytesMut::new();
    request.encode(&mut out);
    out.to_vec()
}
