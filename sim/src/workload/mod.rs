//! What clients ask for: operations drawn from a small key space, so that they conflict.

use std::collections::BTreeMap;

mod access;
mod memory;
mod operation;
mod quota;

pub(crate) use self::access::SUPER_USER;
pub use self::memory::Memory;
pub use self::operation::{
    Content, Create, Operation, Part, Read, Reading, Stray, Target, Version, Write,
};
use crate::history::Life;
use crate::oracle::access::open;
use crate::rng::{SimRng, Stream};
use vivarium_core::config::DigestAlg;
use vivarium_core::wire::client::{AddMode, WatchKind, WatchOp};

/// A kind of operation in a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Create,
    CreateSequential,
    CreateEphemeral,
    CreateEphemeralSequential,
    Delete,
    SetData,
    Multi,
    Exists,
    GetData,
    GetChildren,
    SyncThenRead,
    UnknownOp,
    Malformed,
    CreateContainer,
    CreateTtl,
    MultiRead,
    GetEphemerals,
    CountAll,
    AddAuth,
    SetAcl,
    GetAcl,
    WhoAmI,
    Reconfig,
    Quota,
}

impl Kind {
    /// Each with the name that scenario files have for it.
    pub const NAMES: [(Self, &str); 24] = [
        (Self::Create, "create"),
        (Self::CreateSequential, "create_sequential"),
        (Self::CreateEphemeral, "create_ephemeral"),
        (Self::CreateEphemeralSequential, "create_ephemeral_sequential"),
        (Self::Delete, "delete"),
        (Self::SetData, "set"),
        (Self::Multi, "multi"),
        (Self::Exists, "exists"),
        (Self::GetData, "get"),
        (Self::GetChildren, "children"),
        (Self::SyncThenRead, "sync_then_read"),
        (Self::UnknownOp, "unknown"),
        (Self::Malformed, "malformed"),
        (Self::CreateContainer, "create_container"),
        (Self::CreateTtl, "create_ttl"),
        (Self::MultiRead, "multi_read"),
        (Self::GetEphemerals, "ephemerals"),
        (Self::CountAll, "count"),
        (Self::AddAuth, "auth"),
        (Self::SetAcl, "setacl"),
        (Self::GetAcl, "getacl"),
        (Self::WhoAmI, "whoami"),
        (Self::Reconfig, "reconfig"),
        (Self::Quota, "quota"),
    ];
}

/// Names below each root that only ephemeral nodes are made under: what one session leaves behind the
/// next takes, as with locks and with those who lead.
const LOCKS: u64 = 2;

const READS: [Kind; 3] = [Kind::Exists, Kind::GetData, Kind::GetChildren];

/// The draws for kinds that came later: they leave those of the others as they were.
const LATER_KINDS: u64 = u64::MAX - 1;

/// What is sent late over a connection that was left: drawn beside the operation in whose place the
/// client moves.
const STRAYS: u64 = 1 << 48;

/// What is sent in front of the end of a session, likewise.
const PARTINGS: u64 = 1 << 49;

/// Behind those: whether a session ends right behind a move.
const ENDS: u64 = 1 << 50;

/// The mix of one run: some operations are left out (swarm testing), the others weigh differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What is left out is not asked for.
    pub weights: BTreeMap<Kind, u64>,
    /// Nodes that others are put below.
    pub roots: u64,
    /// Names below each of them, those of sequential nodes aside.
    pub names: u64,
    /// Share of reads that set a watch, in per mille.
    pub watching: u64,
    /// Longest data of a node.
    pub data_bytes: u64,
    /// Share of operations that are about persistent watches, in per mille.
    pub lasting: u64,
    /// Share of clients that set their watches again on a new connection, in per mille.
    pub rewatching: u64,
    /// Share of new nodes that have an access list of their own, in per mille.
    pub guarded: u64,
    /// Share of clients that say again who they are on a new connection, in per mille.
    pub showing: u64,
    /// What the servers hash passwords with: lists name the hashes.
    pub digest_alg: DigestAlg,
}

impl Workload {
    /// Every client of the run gets a clone of it.
    pub fn draw(seed: u64) -> Self {
        let mut rng = SimRng::new(seed, Stream::Workload, u64::MAX);
        let mut watching = SimRng::new(seed, Stream::Watching, u64::MAX);
        let omittable = [
            (Kind::CreateSequential, 6),
            (Kind::CreateEphemeral, 5),
            (Kind::CreateEphemeralSequential, 5),
            (Kind::Delete, 10),
            (Kind::SetData, 15),
            (Kind::Multi, 8),
            (Kind::Exists, 8),
            (Kind::GetData, 12),
            (Kind::GetChildren, 8),
            (Kind::SyncThenRead, 6),
        ];
        let mut weights = BTreeMap::new();
        for (kind, weight) in omittable {
            if rng.chance(700) {
                weights.insert(kind, weight * rng.range(1, 3) * 10);
            }
        }
        for kind in [Kind::UnknownOp, Kind::Malformed] {
            if rng.chance(300) {
                weights.insert(kind, 3);
            }
        }
        weights.insert(Kind::Create, 10 * rng.range(3, 20));
        let mut later = SimRng::new(seed, Stream::Workload, LATER_KINDS);
        for (kind, weight) in [
            (Kind::CreateContainer, 5),
            (Kind::CreateTtl, 5),
            (Kind::MultiRead, 3),
            (Kind::GetEphemerals, 2),
            (Kind::CountAll, 2),
        ] {
            if later.chance(500) {
                weights.insert(kind, weight * later.range(1, 3) * 10);
            }
        }
        let (guarded, showing) = access::draw(seed, &mut weights);
        quota::draw(seed, &mut weights);
        Self {
            guarded,
            showing,
            digest_alg: DigestAlg::Sha1,
            weights,
            roots: rng.range(1, 4),
            names: rng.range(1, 5),
            watching: *rng.pick(&[0, 200, 700]),
            data_bytes: rng.log_range(8, 4096),
            lasting: *watching.pick(&[0, 30, 100]),
            rewatching: *watching.pick(&[0, 700, 1000]),
        }
    }

    /// Many watches that last, and all of them set again on each connection.
    #[must_use]
    pub(crate) fn watches_for_long(mut self) -> Self {
        (self.lasting, self.rewatching) = (300, 1000);
        self
    }

    /// The mix of a client that never writes: its reads, each second of them behind a sync.
    #[must_use]
    pub(crate) fn reads_only(mut self) -> Self {
        self.weights.retain(|kind, _| READS.contains(kind));
        if self.weights.is_empty() {
            self.weights = READS.into_iter().map(|kind| (kind, 1)).collect();
        }
        self.weights.insert(Kind::SyncThenRead, self.weights.values().sum());
        self.guarded = 0;
        self
    }

    /// The n-th operation of a client, whatever became of those before it.
    pub(crate) fn draw_operation(&self, owner: u32, n: u64, rng: &mut SimRng) -> Operation {
        Drawing { workload: self, owner, n, written: 0, rng }.operation()
    }

    /// An operation about persistent watches, where the n-th one of the client is such.
    pub(crate) fn draw_watching(&self, seed: u64, n: u64) -> Option<Operation> {
        let mut rng = SimRng::new(seed, Stream::Watching, n);
        if !rng.chance(self.lasting) {
            return None;
        }
        let path = match rng.below(10) {
            0 => "/".into(),
            1..6 => format!("/r{}", rng.below(self.roots)),
            _ => format!("/r{}/n{}", rng.below(self.roots), rng.below(self.names)),
        };
        let kind = *rng.pick(&[
            WatchKind::Children,
            WatchKind::Data,
            WatchKind::Any,
            WatchKind::Persistent,
            WatchKind::PersistentRecursive,
        ]);
        Some(Operation::Watch(match rng.below(10) {
            0..4 => WatchOp::Add { path, mode: AddMode::Persistent },
            4..7 => WatchOp::Add { path, mode: AddMode::PersistentRecursive },
            7 | 8 => WatchOp::Remove { path, kind },
            _ => WatchOp::Check { path, kind },
        }))
    }

    /// A client goes on elsewhere, and in half of the cases sends one more request to where it was.
    pub(crate) fn draw_move(&self, owner: u32, seed: u64, n: u64) -> Operation {
        let mut rng = SimRng::new(seed, Stream::Operation, STRAYS + n);
        let strays = self.weights.contains_key(&Kind::Create) && rng.chance(500);
        let mut drawing = Drawing { workload: self, owner, n, written: 0, rng: &mut rng };
        let write = strays.then(|| Stray::Write(drawing.stray()));
        Operation::Move { stray: if rng.chance(100) { Some(Stray::Close) } else { write } }
    }

    /// Whether the session ends as soon as it goes on elsewhere, while the write that was sent to where it
    /// was is under way.
    pub(crate) fn ends_behind(&self, operation: &Operation, seed: u64, n: u64) -> bool {
        matches!(operation, Operation::Move { stray: Some(Stray::Write(_)) })
            && SimRng::new(seed, Stream::Operation, ENDS + n).chance(300)
    }

    /// What a client asks for just before it closes its session, if anything: a change of a node that goes
    /// with the session, still under way when its end is proposed.
    pub(crate) fn draw_parting(&self, owner: u32, seed: u64, n: u64) -> Option<Operation> {
        let mut rng = SimRng::new(seed, Stream::Operation, PARTINGS + n);
        let kinds = [Kind::CreateEphemeral, Kind::CreateEphemeralSequential];
        let parts = kinds.iter().any(|kind| self.weights.contains_key(kind)) && rng.chance(600);
        let mut drawing = Drawing { workload: self, owner, n, written: 0, rng: &mut rng };
        parts.then(|| Operation::Write(drawing.parting()))
    }

    /// Whether a client sets its watches again on a new connection.
    pub(crate) fn draw_rewatching(&self, seed: u64) -> bool {
        SimRng::new(seed, Stream::Watching, u64::MAX).chance(self.rewatching)
    }

    /// A sync and a read behind it, whether the mix has any or not.
    pub(crate) fn draw_sync(&self, rng: &mut SimRng) -> Operation {
        Drawing { workload: self, owner: 0, n: 0, written: 0, rng }.sync_then_read()
    }

    /// A kind of read that this mix has; any, where it has none.
    fn draw_read(&self, rng: &mut SimRng) -> Kind {
        let kept = |kind: &Kind| self.weights.contains_key(kind);
        let kept: Vec<Kind> = READS.into_iter().filter(kept).collect();
        *rng.pick(if kept.is_empty() { &READS } else { &kept })
    }

    fn draw_kind(&self, rng: &mut SimRng) -> Kind {
        let mut at = rng.below(self.weights.values().sum());
        for (kind, weight) in &self.weights {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *kind,
            }
        }
        Kind::Create
    }
}

/// One operation while it is drawn.
struct Drawing<'a> {
    workload: &'a Workload,
    owner: u32,
    n: u64,
    /// Data that it has written so far.
    written: u32,
    rng: &'a mut SimRng,
}

impl Drawing<'_> {
    fn operation(&mut self) -> Operation {
        let kind = self.workload.draw_kind(self.rng);
        match kind {
            Kind::Create => self.write(Life::Persistent, false),
            Kind::CreateSequential => self.write(Life::Persistent, true),
            Kind::CreateEphemeral => self.write(Life::Ephemeral, false),
            Kind::CreateEphemeralSequential => self.write(Life::Ephemeral, true),
            Kind::CreateContainer => self.write(Life::Container, false),
            Kind::CreateTtl => {
                let life = Life::Ttl { ms: self.rng.log_range(1, 4000) as i64 };
                let sequential = self.rng.chance(300);
                self.write(life, sequential)
            }
            Kind::Delete => {
                Operation::Write(Write::Delete { path: self.target(), version: self.version() })
            }
            Kind::SetData => Operation::Write(Write::SetData {
                path: self.target(),
                version: self.version(),
                data: self.content(),
            }),
            Kind::Multi => self.multi(),
            Kind::Exists
            | Kind::GetData
            | Kind::GetChildren
            | Kind::GetEphemerals
            | Kind::CountAll => Operation::Read(self.read(kind)),
            Kind::MultiRead => {
                let count = self.rng.range(1, 6);
                let mut read = || {
                    let kind = *self.rng.pick(&[Kind::GetData, Kind::GetChildren]);
                    Read { watch: false, ..self.read(kind) }
                };
                Operation::MultiRead((0..count).map(|_| read()).collect())
            }
            Kind::SyncThenRead => self.sync_then_read(),
            Kind::AddAuth => access::present(self.owner, self.rng),
            Kind::SetAcl => Operation::SetAcl {
                path: self.target(),
                acl: access::changed(self.owner, self.workload.digest_alg, self.rng),
                version: self.version(),
            },
            Kind::GetAcl => {
                let what = Reading::AccessList;
                Operation::Read(Read { what, path: self.target(), watch: false })
            }
            Kind::WhoAmI => Operation::WhoAmI,
            Kind::Reconfig => Operation::Reconfig { version: *self.rng.pick(&[-1, 0, 7]) },
            Kind::Quota => {
                let (root, read) = (self.root(), self.workload.draw_read(self.rng));
                quota::operation(&root, read, self.rng)
            }
            Kind::UnknownOp => Operation::UnknownOp { code: *self.rng.pick(&[13, 77, 999]) },
            Kind::Malformed => Operation::Malformed { code: *self.rng.pick(&[1, 2, 5, 14, 15]) },
        }
    }

    fn stray(&mut self) -> Write {
        match self.rng.below(3) {
            0 => Write::Create(self.create(Life::Persistent, true)),
            1 => Write::Delete { path: self.target(), version: Version::Any },
            _ => {
                Write::SetData { path: self.target(), version: Version::Any, data: self.content() }
            }
        }
    }

    fn parting(&mut self) -> Write {
        let path = Target::Own { otherwise: self.lock() };
        match self.rng.below(4) {
            0 => Write::Create(self.create(Life::Ephemeral, false)),
            1 => Write::SetData { path, version: Version::Any, data: self.content() },
            _ => Write::Delete { path, version: Version::Any },
        }
    }

    fn sync_then_read(&mut self) -> Operation {
        let path = self.target();
        let kind = self.workload.draw_read(self.rng);
        Operation::SyncThenRead { path, read: self.read(kind) }
    }

    fn read(&mut self, kind: Kind) -> Read {
        if matches!(kind, Kind::GetEphemerals | Kind::CountAll) {
            let path = if self.rng.chance(500) { "/".into() } else { self.root() };
            let counts = kind == Kind::CountAll;
            let what = if counts { Reading::CountAll } else { Reading::Ephemerals };
            return Read { what, path: Target::Path(path), watch: false };
        }
        let watch = self.rng.chance(self.workload.watching);
        let what = match kind {
            Kind::Exists => Reading::Exists,
            Kind::GetData => Reading::Data,
            Kind::GetChildren
            | Kind::Create
            | Kind::CreateSequential
            | Kind::CreateEphemeral
            | Kind::CreateEphemeralSequential
            | Kind::Delete
            | Kind::SetData
            | Kind::Multi
            | Kind::SyncThenRead
            | Kind::UnknownOp
            | Kind::Malformed
            | Kind::CreateContainer
            | Kind::CreateTtl
            | Kind::MultiRead
            | Kind::GetEphemerals
            | Kind::CountAll
            | Kind::AddAuth
            | Kind::SetAcl
            | Kind::GetAcl
            | Kind::WhoAmI
            | Kind::Reconfig
            | Kind::Quota => Reading::Children { with_stat: self.rng.chance(500) },
        };
        let path = match what {
            Reading::Exists | Reading::Data => self.target(),
            Reading::Ephemerals | Reading::CountAll | Reading::AccessList => self.target(),
            Reading::Children { .. } if self.rng.chance(800) => Target::Path(self.root()),
            Reading::Children { .. } => Target::Path("/".into()),
        };
        Read { what, path, watch }
    }

    fn multi(&mut self) -> Operation {
        let count = *self.rng.pick(&[1, 2, 5, 13, 15]);
        let mut part = || match self.rng.below(6) {
            0 => Part::Write(Write::Delete { path: self.target(), version: self.version() }),
            1 => Part::Check { path: self.target(), version: self.version() },
            2 | 3 => Part::Write(Write::SetData {
                path: self.target(),
                data: self.content(),
                version: Version::Any,
            }),
            _ => {
                let (ephemeral, sequential) = (self.rng.chance(200), self.rng.chance(600));
                let life = if ephemeral { Life::Ephemeral } else { Life::Persistent };
                Part::Write(Write::Create(self.create(life, sequential)))
            }
        };
        Operation::Multi((0..count).map(|_| part()).collect())
    }

    fn write(&mut self, life: Life, sequential: bool) -> Operation {
        Operation::Write(Write::Create(self.create(life, sequential)))
    }

    fn create(&mut self, life: Life, sequential: bool) -> Create {
        let path = match (sequential, life) {
            (true, _) => format!("{}/s-", self.root()),
            (false, Life::Ephemeral) if self.rng.chance(700) => self.lock(),
            (false, _) => self.fixed(),
        };
        let with_stat = self.rng.chance(500);
        let acl = open();
        Create { path, data: self.content(), life, sequential, with_stat, acl }
    }

    fn root(&mut self) -> String {
        format!("/r{}", self.rng.below(self.workload.roots))
    }

    fn fixed(&mut self) -> String {
        match self.rng.chance(300) {
            true => self.root(),
            false => format!("{}/n{}", self.root(), self.rng.below(self.workload.names)),
        }
    }

    fn lock(&mut self) -> String {
        format!("{}/e{}", self.root(), self.rng.below(LOCKS))
    }

    /// A path that may exist: of the key space, or one that was seen.
    fn target(&mut self) -> Target {
        let locks = self.workload.weights.contains_key(&Kind::CreateEphemeral);
        let otherwise = if locks && self.rng.chance(150) { self.lock() } else { self.fixed() };
        match self.rng.chance(400) {
            true => Target::Seen { per_mille: self.rng.below(1000) as u16, otherwise },
            false => Target::Path(otherwise),
        }
    }

    /// The version last seen, any version, or a wrong one.
    fn version(&mut self) -> Version {
        match self.rng.below(4) {
            0 | 1 => Version::Seen,
            2 => Version::Is(i32::try_from(self.rng.below(3)).expect("below 3")),
            _ => Version::Any,
        }
    }

    fn content(&mut self) -> Option<Content> {
        if self.rng.chance(100) {
            return None;
        }
        self.written += 1;
        let word = format!("{}-{}.{}", self.owner, self.n, self.written);
        let padded = self.rng.chance(300);
        let len = padded.then(|| self.rng.range(0, self.workload.data_bytes) as usize);
        Some(Content { word, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Call;

    fn calls(workload: &Workload, seed: u64, count: u64) -> impl Iterator<Item = Call> {
        let mut rng = SimRng::new(seed, Stream::Workload, 0);
        let memory = Memory::default();
        let operation = move |n| workload.draw_operation(1, n, &mut rng).settled(&memory);
        let operations: Vec<_> = (0..count).map(operation).collect();
        operations.into_iter().flat_map(|operation| operation.calls())
    }

    #[test]
    fn mixes_differ_between_seeds_and_repeat() {
        assert_eq!(Workload::draw(1), Workload::draw(1));
        assert!((2..20).any(|seed| Workload::draw(seed) != Workload::draw(1)));
    }

    #[test]
    fn every_call_stays_in_the_key_space() {
        for seed in 0..50 {
            for call in calls(&Workload::draw(seed), seed, 100) {
                if let Call::Create(create) = call {
                    let known = ["/r", "/zookeeper/quota/r"];
                    let is_known = known.iter().any(|known| create.path.starts_with(known));
                    assert!(is_known, "{create:?}");
                }
            }
        }
    }

    /// A mix without a kind of read asks for none of it, behind a sync neither.
    #[test]
    fn an_omitted_read_is_never_asked_for() {
        let mut omitted = 0;
        for seed in 0..60 {
            let workload = Workload::draw(seed);
            let has = |kind| workload.weights.contains_key(&kind);
            if has(Kind::GetData) || !(has(Kind::Exists) || has(Kind::GetChildren)) {
                continue;
            }
            omitted += 1;
            for call in calls(&workload, seed, 300) {
                assert!(!matches!(call, Call::GetData { .. }), "seed {seed}: {call:?}");
            }
        }
        assert!(omitted > 5, "only {omitted} mixes leave it out");
    }

    #[test]
    fn a_mix_of_reads_never_writes_and_asks_for_syncs() {
        for seed in 0..30 {
            let reads: Vec<_> = calls(&Workload::draw(seed).reads_only(), seed, 200).collect();
            assert!(reads.iter().all(|call| call.is_read() || matches!(call, Call::Sync { .. })));
            let syncs = reads.iter().filter(|call| matches!(call, Call::Sync { .. })).count();
            assert!((60..140).contains(&syncs), "seed {seed}: {syncs} syncs for 200 reads");
        }
    }

    /// What a client has seen decides only what is left to it.
    #[test]
    fn a_settled_operation_names_what_was_seen() {
        use crate::history::Reply;
        let mut memory = Memory::default();
        let path = Target::Seen { per_mille: 999, otherwise: "/r0".into() };
        let delete = Operation::Write(Write::Delete { path, version: Version::Seen });
        let blind = delete.clone().settled(&memory).calls();
        assert_eq!(blind, [Call::Delete { path: "/r0".into(), version: -1 }]);
        let asked = Call::Sync { path: "/".into() };
        memory.learn(&asked, &Reply::Path("/r1/s-0000000003".into()));
        let seen = delete.settled(&memory).calls();
        assert_eq!(seen, [Call::Delete { path: "/r1/s-0000000003".into(), version: 0 }]);
    }
}
