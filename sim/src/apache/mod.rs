//! Peers that behave as Apache ZooKeeper 3.9.5 does where ours behave otherwise.
//!
//! A `Guise` sits between one of our servers and its world. On the links between servers it changes
//! what goes out and what comes in, and while the process is down it changes the folder. Core knows
//! nothing of it: it takes all others for Java's servers, and they take it for one. What a habit
//! cannot show this way, core's own dialect towards Java's servers does: one COMMIT and one ACK per
//! zxid, zxid -1 in UPTODATE, an ACK of NEWLEADER and one of UPTODATE.

mod body;
mod folder;
mod habits;
mod host;
mod ledger;
pub(crate) mod packet;
#[cfg(test)]
mod tests;
mod to_leader;
mod to_learner;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use vivarium_core::config::Config;
use vivarium_core::ids::{DialId, Epoch, LinkId, ServerId, Zxid};
use vivarium_core::server::note::Note;

pub(crate) use self::folder::Walkable;
pub use self::habits::Habits;
use self::ledger::Ledger;
use self::to_leader::ToLeader;
use self::to_learner::{LeaderCx, ToLearner};
use crate::cluster::Cluster;
use crate::rng::{SimRng, Stream};

/// Of a thousand seeds, so many have peers of Apache's kind.
const MIXED_PER_MILLE: u64 = 150;

/// Which servers of a cluster are of Apache's kind: at least one of ours stays. `peers` forces their
/// number.
pub fn draw(seed: u64, cluster: &Cluster, peers: Option<usize>) -> BTreeMap<ServerId, Habits> {
    let mut rng = SimRng::new(seed, Stream::Apache, 0);
    let mixed = rng.chance(MIXED_PER_MILLE);
    let mut ids: Vec<ServerId> = cluster.configs.iter().map(|config| config.me).collect();
    let most = ids.len() - 1;
    let drawn = if mixed && most > 0 { rng.range(1, most as u64) as usize } else { 0 };
    rng.shuffle(&mut ids);
    ids.truncate(peers.unwrap_or(drawn).min(most));
    ids.into_iter().map(|id| (id, Habits::draw(&mut rng))).collect()
}

/// What the world has to know of what a guise did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A habit showed.
    Habit(&'static str),
    /// A SNAP to `learner` named `base` and holds parts of transactions up to `end`.
    Snap { learner: ServerId, base: Zxid, end: Zxid },
    /// So does the own newest snapshot file.
    FuzzyFile { base: Zxid, end: Zxid },
}

/// What the server is told in return for something that never left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Sent(u64),
    Bytes(Bytes),
    /// The link is of no use: it has to go.
    Broken,
}

#[derive(Debug)]
enum Side {
    ToLearner(Box<ToLearner>),
    ToLeader(Box<ToLeader>),
}

/// Makes a peer of Apache's kind of one server.
#[derive(Debug)]
pub(crate) struct Guise {
    pub(crate) habits: Habits,
    config: Config,
    rng: SimRng,
    links: BTreeMap<LinkId, (Side, Ledger)>,
    dials: BTreeMap<DialId, ServerId>,
    told: VecDeque<(LinkId, Told)>,
    facts: Vec<Fact>,
    established: Option<Epoch>,
    /// Newest transaction that this server applied while it was committed.
    committed: Zxid,
    /// Snapshots whose files were made fuzzy.
    fuzzy: BTreeSet<Zxid>,
}

impl Guise {
    pub(crate) fn new(habits: Habits, config: &Config, rng: SimRng) -> Self {
        Self {
            habits,
            config: config.clone(),
            rng,
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            told: VecDeque::new(),
            facts: Vec::new(),
            established: None,
            committed: Zxid::ZERO,
            fuzzy: BTreeSet::new(),
        }
    }

    pub(crate) fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    pub(crate) fn next_told(&mut self) -> Option<(LinkId, Told)> {
        self.told.pop_front()
    }

    /// The server dials the quorum port of `to`. A link that waits for it is taken at once.
    pub(crate) fn dialled(&mut self, dial: DialId, to: ServerId) -> Option<LinkId> {
        let waiting = self.links.iter_mut().find_map(|(link, (side, ledger))| match side {
            Side::ToLeader(side) if side.is_empty_seat() && side.leader == to => {
                Some((*link, side, ledger))
            }
            Side::ToLeader(_) | Side::ToLearner(_) => None,
        });
        let Some((link, side, ledger)) = waiting else {
            self.dials.insert(dial, to);
            return None;
        };
        side.take_seat();
        ledger.forget_server();
        Some(link)
    }

    /// A link that outlived its server, and that the next one does not want.
    pub(crate) fn give_up_waiting(&mut self) -> Option<LinkId> {
        let link = self.links.iter().find_map(|(link, (side, _))| match side {
            Side::ToLeader(side) if side.is_empty_seat() => Some(*link),
            Side::ToLeader(_) | Side::ToLearner(_) => None,
        })?;
        self.links.remove(&link);
        Some(link)
    }

    /// A connection to a quorum port stands; `dial` where the server asked for it.
    pub(crate) fn opened(&mut self, link: LinkId, dial: Option<DialId>) {
        let side = match dial {
            None => Side::ToLearner(Box::new(ToLearner::new())),
            Some(dial) => match self.dials.remove(&dial) {
                Some(leader) => Side::ToLeader(Box::new(ToLeader::new(leader))),
                None => return,
            },
        };
        self.links.insert(link, (side, Ledger::default()));
    }

    /// False where the server knows nothing of this link.
    pub(crate) fn closed(&mut self, link: LinkId) -> bool {
        match self.links.remove(&link) {
            Some((Side::ToLeader(side), _)) => !side.is_empty_seat() && !side.is_cutting(),
            Some((Side::ToLearner(_), _)) | None => true,
        }
    }

    /// The server closes a link. False where it stays open all the same.
    pub(crate) fn closes(&mut self, link: LinkId) -> bool {
        if let Some((Side::ToLeader(side), _)) = self.links.get(&link)
            && side.is_cutting()
        {
            return false;
        }
        self.links.remove(&link);
        true
    }

    /// The process is gone. The link that outlives it, if it ended to be rebuilt behind a TRUNC.
    pub(crate) fn server_ended(&mut self, rebuilt: bool) -> Option<LinkId> {
        self.links.retain(|_, (side, _)| match side {
            Side::ToLeader(side) => side.server_ended() && rebuilt,
            Side::ToLearner(_) => false,
        });
        self.dials.clear();
        self.told.clear();
        self.established = None;
        self.links.keys().next().copied()
    }

    /// Whether a rebuilt server whose history ends here was cut to where the leader goes on. Apache's
    /// `FileTxnLog.truncate` needs a log that reaches there, and its process ends without one.
    pub(crate) fn was_cut_to(&self, logged: Option<Zxid>) -> bool {
        self.links.values().all(|(side, _)| match side {
            Side::ToLeader(side) => logged.unwrap_or_default() >= side.cut(),
            Side::ToLearner(_) => true,
        })
    }

    /// What the server shall read in place of `bytes`; nothing where it is empty.
    pub(crate) fn inbound(&mut self, link: LinkId, bytes: Bytes) -> Bytes {
        let Some((side, _)) = self.links.get_mut(&link) else { return bytes };
        match side {
            Side::ToLearner(side) => side.inbound(
                bytes,
                &mut LeaderCx {
                    habits: &self.habits,
                    config: &self.config,
                    established: self.established,
                    rng: &mut self.rng,
                    facts: &mut self.facts,
                },
            ),
            Side::ToLeader(side) => side.inbound(bytes, &self.habits, &mut self.facts),
        }
    }

    /// What goes onto the wire in place of `bytes`.
    pub(crate) fn outbound(&mut self, link: LinkId, bytes: Bytes) -> Bytes {
        let Some((side, ledger)) = self.links.get_mut(&link) else { return bytes };
        let told = bytes.len();
        let out = match side {
            Side::ToLearner(side) => side.outbound(
                bytes,
                &mut LeaderCx {
                    habits: &self.habits,
                    config: &self.config,
                    established: self.established,
                    rng: &mut self.rng,
                    facts: &mut self.facts,
                },
            ),
            Side::ToLeader(side) => match side.outbound(bytes, &self.habits, &mut self.facts) {
                Ok((out, back)) => {
                    if !back.is_empty() {
                        self.told.push_back((link, Told::Bytes(back)));
                    }
                    out
                }
                Err(()) => {
                    self.told.push_back((link, Told::Broken));
                    Bytes::new()
                }
            },
        };
        ledger.send(told, out.len());
        match ledger.settle() {
            0 => {}
            bytes => self.told.push_back((link, Told::Sent(bytes))),
        }
        out
    }

    /// The kernel took `bytes`: how many the server is told of.
    pub(crate) fn sent(&mut self, link: LinkId, bytes: u64) -> u64 {
        match self.links.get_mut(&link) {
            None => bytes,
            Some((side, ledger)) => {
                let told = ledger.sent(bytes);
                let nobody = matches!(side, Side::ToLeader(side) if side.is_empty_seat());
                if nobody { 0 } else { told }
            }
        }
    }

    pub(crate) fn note(&mut self, note: &Note) {
        if let Note::Established { epoch, .. } = note {
            self.established = Some(*epoch);
        }
        if let Note::Applied { zxid, recovered: false, .. } = note {
            self.committed = self.committed.max(*zxid);
        }
        if let Note::SnapshotSealed { zxid } = note {
            // Written anew, exactly.
            self.fuzzy.remove(zxid);
        }
    }
}
