//! What clients ask for: operations drawn from a small key space, so that they conflict.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::history::{Call, CreateCall, Reply, SubCall, SubReply};
use crate::rng::{SimRng, Stream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
}

/// The mix of one run: some operations are left out (swarm testing), the others weigh differently.
#[derive(Clone, Debug)]
pub struct Workload {
    weights: Vec<(Kind, u64)>,
    roots: u64,
    names: u64,
    /// Share of reads that set a watch, in per mille.
    watching: u64,
    /// Longest data of a node.
    data_bytes: u64,
}

impl Workload {
    /// Every client of the run gets a clone of it.
    pub fn draw(seed: u64) -> Self {
        let mut rng = SimRng::new(seed, Stream::Workload, u64::MAX);
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
        let mut weights = vec![(Kind::Create, 10)];
        for (kind, weight) in omittable {
            if rng.chance(700) {
                weights.push((kind, weight * rng.range(1, 3) * 10));
            }
        }
        for kind in [Kind::UnknownOp, Kind::Malformed] {
            if rng.chance(300) {
                weights.push((kind, 3));
            }
        }
        weights[0].1 *= rng.range(3, 20);
        Self {
            weights,
            roots: rng.range(1, 4),
            names: rng.range(1, 5),
            watching: *rng.pick(&[0, 200, 700]),
            data_bytes: rng.log_range(8, 4096),
        }
    }

    /// One request, or two where the first is a sync.
    pub fn draw_calls(&self, rng: &mut SimRng, memory: &mut Memory) -> Vec<Call> {
        match self.draw_kind(rng) {
            Kind::Create => vec![Call::Create(self.create(rng, memory, false, false))],
            Kind::CreateSequential => vec![Call::Create(self.create(rng, memory, false, true))],
            Kind::CreateEphemeral => vec![Call::Create(self.create(rng, memory, true, false))],
            Kind::CreateEphemeralSequential => {
                vec![Call::Create(self.create(rng, memory, true, true))]
            }
            Kind::Delete => {
                let path = self.target(rng, memory);
                vec![Call::Delete { version: memory.version(rng, &path), path }]
            }
            Kind::SetData => {
                let path = self.target(rng, memory);
                let version = memory.version(rng, &path);
                vec![Call::SetData { version, path, data: self.data(rng, memory) }]
            }
            Kind::Multi => vec![self.multi(rng, memory)],
            kind @ (Kind::Exists | Kind::GetData | Kind::GetChildren) => {
                vec![self.read(kind, rng, memory)]
            }
            Kind::SyncThenRead => {
                let sync = Call::Sync { path: self.target(rng, memory) };
                let kind = self.draw_read(rng);
                vec![sync, self.read(kind, rng, memory)]
            }
            Kind::UnknownOp => vec![Call::UnknownOp { code: *rng.pick(&[13, 77, 999]) }],
            Kind::Malformed => vec![Call::Malformed { code: *rng.pick(&[1, 2, 5, 14, 15]) }],
        }
    }

    fn draw_kind(&self, rng: &mut SimRng) -> Kind {
        let total = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = rng.below(total);
        for (kind, weight) in &self.weights {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *kind,
            }
        }
        Kind::Create
    }

    /// A kind of read that this mix has; any, where it has none.
    fn draw_read(&self, rng: &mut SimRng) -> Kind {
        const READS: [Kind; 3] = [Kind::Exists, Kind::GetData, Kind::GetChildren];
        let kept = |kind: &Kind| self.weights.iter().any(|(known, _)| known == kind);
        let kept: Vec<Kind> = READS.into_iter().filter(kept).collect();
        *rng.pick(if kept.is_empty() { &READS } else { &kept })
    }

    fn read(&self, kind: Kind, rng: &mut SimRng, memory: &mut Memory) -> Call {
        let watch = rng.chance(self.watching);
        match kind {
            Kind::Exists => Call::Exists { path: self.target(rng, memory), watch },
            Kind::GetData => Call::GetData { path: self.target(rng, memory), watch },
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
            | Kind::Malformed => Call::GetChildren {
                path: match rng.chance(800) {
                    true => self.root(rng),
                    false => "/".into(),
                },
                watch,
                with_stat: rng.chance(500),
            },
        }
    }

    fn multi(&self, rng: &mut SimRng, memory: &mut Memory) -> Call {
        let count = *rng.pick(&[1, 2, 5, 13, 15]);
        let mut sub = |rng: &mut SimRng| match rng.below(6) {
            0 => {
                let path = self.target(rng, memory);
                SubCall::Delete { version: memory.version(rng, &path), path }
            }
            1 => {
                let path = self.target(rng, memory);
                SubCall::Check { version: memory.version(rng, &path), path }
            }
            2 | 3 => {
                let path = self.target(rng, memory);
                SubCall::SetData { path, data: self.data(rng, memory), version: -1 }
            }
            _ => {
                let (ephemeral, sequential) = (rng.chance(200), rng.chance(600));
                SubCall::Create(self.create(rng, memory, ephemeral, sequential))
            }
        };
        Call::Multi((0..count).map(|_| sub(rng)).collect())
    }

    fn create(
        &self,
        rng: &mut SimRng,
        memory: &mut Memory,
        ephemeral: bool,
        sequential: bool,
    ) -> CreateCall {
        let path = match sequential {
            true => format!("{}/s-", self.root(rng)),
            false => self.fixed(rng),
        };
        CreateCall {
            path,
            data: self.data(rng, memory),
            ephemeral,
            sequential,
            with_stat: rng.chance(500),
        }
    }

    fn root(&self, rng: &mut SimRng) -> String {
        format!("/r{}", rng.below(self.roots))
    }

    fn fixed(&self, rng: &mut SimRng) -> String {
        match rng.chance(300) {
            true => self.root(rng),
            false => format!("{}/n{}", self.root(rng), rng.below(self.names)),
        }
    }

    /// A path that may exist: of the key space, or one that was seen.
    fn target(&self, rng: &mut SimRng, memory: &Memory) -> String {
        match rng.chance(400) && !memory.seen.is_empty() {
            true => memory.seen[rng.below(memory.seen.len() as u64) as usize].clone(),
            false => self.fixed(rng),
        }
    }

    fn data(&self, rng: &mut SimRng, memory: &mut Memory) -> Option<Bytes> {
        if rng.chance(100) {
            return None;
        }
        memory.written += 1;
        let mut data = format!("{}-{}", memory.owner, memory.written).into_bytes();
        if rng.chance(300) {
            data.resize(rng.range(0, self.data_bytes) as usize, b'.');
        }
        Some(data.into())
    }
}

/// What one client remembers of the tree, to ask for what may be there.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    owner: u32,
    written: u64,
    /// Newest last.
    seen: VecDeque<String>,
    versions: BTreeMap<String, i32>,
}

const REMEMBERED: usize = 24;

impl Memory {
    pub fn of(owner: u32) -> Self {
        Self { owner, ..Self::default() }
    }

    /// The version last seen, any version, or a wrong one.
    fn version(&self, rng: &mut SimRng, path: &str) -> i32 {
        match (rng.below(4), self.versions.get(path)) {
            (0 | 1, Some(version)) => *version,
            (2, _) => i32::try_from(rng.below(3)).expect("below 3"),
            (_, _) => -1,
        }
    }

    pub fn learn(&mut self, call: &Call, reply: &Reply) {
        let asked = match call {
            Call::GetData { path, .. }
            | Call::Exists { path, .. }
            | Call::SetData { path, .. }
            | Call::GetChildren { path, .. } => Some(path.as_str()),
            Call::Create(_)
            | Call::Delete { .. }
            | Call::Multi(_)
            | Call::Sync { .. }
            | Call::CloseSession
            | Call::UnknownOp { .. }
            | Call::Malformed { .. } => None,
        };
        match reply {
            Reply::Path(path) => self.saw(path, 0),
            Reply::PathStat(path, stat) => self.saw(path, stat.version),
            Reply::Stat(stat) | Reply::Data(_, stat) => {
                if let Some(path) = asked {
                    self.saw(path, stat.version);
                }
            }
            Reply::Children(children) | Reply::ChildrenStat(children, _) => {
                let parent = asked.filter(|path| *path != "/");
                if let (Some(parent), Some(last)) = (parent, children.first()) {
                    self.saw(&format!("{parent}/{last}"), 0);
                }
            }
            Reply::Multi(subs) => {
                for sub in subs {
                    if let SubReply::Path(path) | SubReply::PathStat(path, _) = sub {
                        self.saw(path, 0);
                    }
                }
            }
            Reply::Empty => {}
        }
    }

    fn saw(&mut self, path: &str, version: i32) {
        if path.starts_with("/zookeeper") || path == "/" {
            return;
        }
        if !self.versions.contains_key(path) {
            self.seen.push_back(path.into());
        }
        self.versions.insert(path.into(), version);
        if self.seen.len() > REMEMBERED
            && let Some(oldest) = self.seen.pop_front()
        {
            self.versions.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_differ_between_seeds_and_repeat() {
        let names = |seed| format!("{:?}", Workload::draw(seed));
        assert_eq!(names(1), names(1));
        assert!((2..20).any(|seed| names(seed) != names(1)));
    }

    #[test]
    fn every_call_stays_in_the_key_space() {
        for seed in 0..50 {
            let workload = Workload::draw(seed);
            let mut rng = SimRng::new(seed, Stream::Workload, 0);
            let mut memory = Memory::of(1);
            for _ in 0..100 {
                for call in workload.draw_calls(&mut rng, &mut memory) {
                    if let Call::Create(create) = call {
                        assert!(create.path.starts_with("/r"), "{create:?}");
                    }
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
            let has = |kind| workload.weights.iter().any(|(known, _)| *known == kind);
            if has(Kind::GetData) || !(has(Kind::Exists) || has(Kind::GetChildren)) {
                continue;
            }
            omitted += 1;
            let mut rng = SimRng::new(seed, Stream::Workload, 0);
            let mut memory = Memory::of(1);
            for _ in 0..300 {
                for call in workload.draw_calls(&mut rng, &mut memory) {
                    assert!(!matches!(call, Call::GetData { .. }), "seed {seed}: {call:?}");
                }
            }
        }
        assert!(omitted > 5, "only {omitted} mixes leave it out");
    }
}
