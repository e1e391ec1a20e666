//! What all checkers share: the committed sequence, each server's place in it, and the oracle.
//!
//! It learns from an event before the checkers judge it, and accuses nobody.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use vivarium_core::ids::{Epoch, ServerId, SessionId, Zxid};
use vivarium_core::server::note::{Note, Phase, SyncKind};

use crate::checkers::calls::Calls;
pub(crate) use crate::checkers::cluster::Cluster;
use crate::checkers::identities::{Identities, May};
use crate::checkers::line::{Entry, Line};
pub(crate) use crate::checkers::member::Member;
use crate::checkers::member::{Lineage, Origin};
use crate::hashed::HashedMap;
use crate::history::{AclEntry, Call, ClientFact, RequestId, SessionFact};
use crate::ids::{ClientId, NodeId, SimTime};
use crate::observe::{LossKind, Sickness, SimEvent};
use crate::oracle::tree::Standing;
use crate::oracle::{Asked, Judged, Oracle};

#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub hash: u64,
    pub by: ServerId,
    /// How many transactions its leader had applied when it made this one.
    applied: usize,
    /// The connection over which it was asked for, where that was clear then.
    connection: Option<u32>,
    payload: Bytes,
}

/// A transaction that this event committed.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub entry: Entry,
    /// The call that a client invoked for it.
    pub call: Option<Call>,
    /// Connection of that call, and the server that got it.
    pub op: Option<RequestId>,
    /// `None`: the oracle could not read it.
    pub judged: Option<Judged>,
}

/// How a write ended, for the reply that may still come.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub zxid: Zxid,
    pub expected: crate::oracle::predict::Expected,
}

#[derive(Debug, Default)]
pub(crate) struct Canon {
    pub cluster: Cluster,
    pub committed: Vec<Entry>,
    /// Full digest after each committed transaction, by the oracle.
    pub digests: Vec<u64>,
    /// ZooKeeper's digest of the tree after each of them, where it carries one.
    pub tree_digests: Vec<Option<u64>>,
    pub members: BTreeMap<ServerId, Member>,
    pub proposals: HashedMap<Zxid, Proposal>,
    pub established: BTreeMap<Epoch, ServerId>,
    /// Last transaction of the leader's log when it began to synchronize, by epoch.
    pub initial: BTreeMap<Epoch, Option<Entry>>,
    pub oracle: Oracle,
    /// The oracle missed a payload: nothing that it says counts any more, and O1 objects.
    pub oracle_blind: bool,
    /// Committed by the event that is judged now.
    pub fresh: Vec<Fresh>,
    /// Zxid of every effective closeSession, by session.
    pub closed: BTreeMap<SessionId, (Zxid, SimTime)>,
    pub outcomes: BTreeMap<(SessionId, i32), Outcome>,
    pub faults_active: u32,
    pub healed_at: Option<SimTime>,
    pub dead: BTreeSet<ServerId>,
    pub sick: BTreeMap<ServerId, Sickness>,
    /// Voters whose loss leaves no quorum of whole disks: nobody has to serve any more.
    pub lost_quorum: Vec<ServerId>,
    /// Sessions whose newest connection leads to a server without a quorum.
    pub readers: BTreeSet<SessionId>,
    pub identities: Identities,
    calls: Calls,
    unknown: BTreeSet<(SessionId, i32)>,
}

impl Canon {
    pub(crate) fn member(&self, server: ServerId) -> Option<&Member> {
        self.members.get(&server)
    }

    /// Whether the calm phase asks nothing of this server: it stays dead, or sick.
    pub(crate) fn is_spared(&self, server: ServerId) -> bool {
        self.dead.contains(&server) || self.sick.contains_key(&server)
    }

    /// Why nobody has to serve any more, if so.
    pub(crate) fn refusal(&self) -> Option<String> {
        let lost: Vec<String> = self.lost_quorum.iter().map(ServerId::to_string).collect();
        let (lost, voters) = (lost.join(", "), self.cluster.voters.len());
        (!lost.is_empty()).then(|| {
            format!(
                "of {voters} voters {lost} lost what they had promised to keep: to refuse is right"
            )
        })
    }

    /// Who knows this session, by what is committed.
    pub(crate) fn standing(&self, session: SessionId) -> Standing {
        self.oracle.tree().standing(session.0)
    }

    /// Whether a session is told of what happens to a node with this list.
    pub(crate) fn may_hear(&self, session: SessionId, acl: Option<&[AclEntry]>) -> May {
        self.identities.may_hear(session, acl, &self.cluster.access)
    }

    /// Number of committed transactions at or below `zxid`.
    pub(crate) fn count_upto(&self, zxid: Zxid) -> usize {
        self.committed.partition_point(|entry| entry.zxid <= zxid)
    }

    pub(crate) fn find(&self, zxid: Zxid) -> Option<(usize, &Entry)> {
        let index = self.count_upto(zxid).checked_sub(1)?;
        self.committed.get(index).filter(|entry| entry.zxid == zxid).map(|entry| (index, entry))
    }

    /// A server that was started without a quorum shows readers its whole log, committed or not.
    pub(crate) fn may_be_uncommitted(&self, session: SessionId, zxid: Zxid) -> bool {
        self.readers.contains(&session) && self.find(zxid).is_none()
    }

    /// How many were committed before this event.
    pub(crate) fn before(&self) -> usize {
        self.committed.len() - self.fresh.len()
    }

    pub(crate) fn judged(&self) -> impl Iterator<Item = (&Fresh, &Judged)> {
        self.fresh.iter().filter_map(|fresh| fresh.judged.as_ref().map(|judged| (fresh, judged)))
    }

    pub(crate) fn learn(&mut self, now: SimTime, node: NodeId, event: &SimEvent) {
        self.fresh.clear();
        match (node, event) {
            (NodeId::World, SimEvent::Cluster { servers, apache }) => {
                self.cluster = Cluster::read(servers);
                self.cluster.apache = apache.iter().copied().collect();
                if self.cluster.local_sessions {
                    self.oracle.allow_local_sessions();
                }
                self.oracle.rules.clone_from(&self.cluster.access);
                for config in servers {
                    self.members.entry(config.me).or_default();
                }
            }
            (_, SimEvent::Faults { active }) => self.faults_active = *active,
            (_, SimEvent::QuorumLost { lost }) => self.lost_quorum.clone_from(lost),
            (_, SimEvent::Healed { dead, sick }) => {
                self.healed_at = Some(now);
                self.dead = dead.iter().copied().collect();
                self.sick = sick.iter().copied().collect();
            }
            (NodeId::Client(client), SimEvent::Client(fact)) => self.learn_client(client, fact),
            (NodeId::Server(server), event) => self.learn_server(now, server, event),
            _ => {}
        }
    }

    /// After the checkers: drops what only this event's judgement needed.
    pub(crate) fn forget(&mut self, event: &SimEvent) {
        if let SimEvent::Client(ClientFact::Ok { op, .. } | ClientFact::Err { op, .. }) = event {
            let key = (op.session, op.xid);
            self.calls.remove(op);
            self.outcomes.remove(&key);
        }
    }

    fn learn_client(&mut self, client: ClientId, fact: &ClientFact) {
        self.identities.learn(client, fact, &self.cluster.access);
        match fact {
            ClientFact::Invoke { op, call } if call.is_write() => {
                let ids = self.identities.of(op.session);
                let asked = Asked { call: call.clone(), ids, applied: 0 };
                self.calls.insert(*op, asked);
            }
            ClientFact::Unknown { op } => {
                let key = (op.session, op.xid);
                if self.outcomes.remove(&key).is_none() && self.calls.contains(op) {
                    self.unknown.insert(key);
                }
            }
            ClientFact::Session(SessionFact::Granted { got, .. }) => {
                self.readers.remove(got);
            }
            // Behind the grant of the same connection.
            ClientFact::Session(SessionFact::ReadOnly { session, .. }) => {
                self.readers.insert(*session);
            }
            ClientFact::Session(SessionFact::Expired { session, .. }) => {
                self.unknown.retain(|(owner, _)| owner != session);
            }
            ClientFact::Invoke { .. }
            | ClientFact::Ok { .. }
            | ClientFact::Err { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
    }

    fn learn_server(&mut self, now: SimTime, server: ServerId, event: &SimEvent) {
        let member = self.members.entry(server).or_default();
        match event {
            SimEvent::Boot { .. } => {
                member.up = true;
                member.recovering = true;
                member.uncuttable = false;
                member.serving = false;
                member.phase = Phase::Halted;
                member.replay.clear();
                member.applied = Line::default();
            }
            SimEvent::Up { .. } => member.replay.clear(),
            SimEvent::Crash(_) | SimEvent::Exit(_) => {
                // It may die behind a cut, and before it says so.
                member.vouched = member.short_of_cut(member.vouched);
                member.acked = member.owes();
                member.lineage.cut = None;
                (member.up, member.serving, member.phase) = (false, false, Phase::Halted);
            }
            SimEvent::HistoryLost(kind) => {
                member.vouched = member.vouched.max(member.acked.take());
                if matches!(kind, LossKind::Wiped) {
                    member.disowned = false;
                    member.lineage = Lineage::default();
                    (member.accepted, member.current) = (None, None);
                }
            }
            SimEvent::Note(note) => self.learn_note(now, server, note),
            SimEvent::ApacheSnap { learner, base, end } => {
                let origin = Origin::of(&member.log, *base, *end, &self.committed);
                let learner = self.members.entry(*learner).or_default();
                learner.lineage.coming = Some((*base, origin));
            }
            SimEvent::FuzzyFile { base, end } => {
                let common = self.committed.partition_point(|entry| entry.zxid <= *base);
                let plain = Origin { end: *end, common, tail: Vec::new() };
                let origin = member.lineage.folder.entry(*base).or_insert(plain);
                origin.end = origin.end.max(*end);
            }
            SimEvent::Cluster { .. }
            | SimEvent::Paused
            | SimEvent::Resumed
            | SimEvent::Durable(_)
            | SimEvent::Client(_)
            | SimEvent::Faults { .. }
            | SimEvent::HalfOpen { .. }
            | SimEvent::LogDone
            | SimEvent::BatchOutgrown { .. }
            | SimEvent::DiskFailed { .. }
            | SimEvent::ReadFailed
            | SimEvent::Objection { .. }
            | SimEvent::Word { .. }
            | SimEvent::Shadow(_)
            | SimEvent::QuorumLost { .. }
            | SimEvent::Healed { .. }
            | SimEvent::Traffic { .. }
            | SimEvent::AtRest(_) => {}
        }
    }

    fn learn_note(&mut self, now: SimTime, server: ServerId, note: &Note) {
        let committed = std::mem::take(&mut self.committed);
        let member = self.members.entry(server).or_default();
        let mut commit_upto = None;
        match note {
            Note::PhaseEntered { phase, epoch } => {
                (member.phase, member.epoch) = (*phase, *epoch);
                if *phase != Phase::Looking {
                    member.lineage.cut = None;
                }
                match phase {
                    Phase::FollowingDiscovery | Phase::ObservingDiscovery => {
                        let lineage = &mut member.lineage;
                        (lineage.leader, lineage.awaits_snap, lineage.coming) = (None, false, None);
                    }
                    Phase::LeadingSynchronization => {
                        let last = member.log.len().checked_sub(1);
                        let last = last.and_then(|index| member.log.entry(index, &committed));
                        self.initial.insert(*epoch, last);
                    }
                    // Alone, everything that is logged is committed.
                    Phase::Standalone => commit_upto = Some(member.log.len()),
                    Phase::Looking
                    | Phase::LeadingDiscovery
                    | Phase::LeadingBroadcast
                    | Phase::FollowingSynchronization
                    | Phase::FollowingBroadcast
                    | Phase::ObservingSynchronization
                    | Phase::ObservingBroadcast
                    | Phase::Halted => {}
                }
            }
            Note::EpochAccepted { epoch } => member.accepted = Some(*epoch),
            Note::EpochEntered { epoch, .. } => member.current = Some(*epoch),
            Note::Established { epoch, history } => {
                self.established.entry(*epoch).or_insert(server);
                let upto = history.map_or(0, |zxid| member.log.count_upto(zxid, &committed));
                commit_upto = Some(upto);
            }
            Note::Proposed { zxid, hash, payload } => {
                let (hash, applied) = (*hash, member.applied.len());
                let (connection, payload) = (self.calls.proposed(payload), payload.clone());
                let proposal = Proposal { hash, by: server, applied, connection, payload };
                self.proposals.entry(*zxid).or_insert(proposal);
            }
            Note::Logged { zxid, hash, .. } => member.log.push(*zxid, *hash, &committed),
            Note::AckedTxn { zxid, .. } => member.acked = member.acked.max(Some(*zxid)),
            Note::AckedNewLeader { history, .. } => {
                let before = member.acked.filter(|_| !member.disowned);
                member.acked = before.max(*history);
                (member.disowned, member.blank, member.vouched) = (false, false, None);
            }
            Note::Uncuttable { .. } => member.uncuttable = true,
            Note::Disowned { .. } => member.disowned = true,
            Note::Committed { zxid } => {
                commit_upto = Some(member.log.count_upto(*zxid, &committed));
            }
            Note::Applied { zxid, hash, digest, .. } => {
                if member.recovering {
                    member.replay.push((*zxid, *hash, *digest));
                } else {
                    member.applied.push(*zxid, *hash, &committed);
                    if member.applied.len() > member.log.len() {
                        member.log = member.applied.clone();
                    }
                }
            }
            Note::Truncated { upto } => {
                let keep = member.log.count_upto(*upto, &committed);
                member.log.cut(keep, &committed);
                // Where a Java server is at either end, what is not committed is cut, acknowledged or not:
                // it is sent and acknowledged once more.
                let apache = &self.cluster.apache;
                if apache.contains(&server)
                    || member.lineage.leader.is_some_and(|leader| apache.contains(&leader))
                {
                    member.acked = member.acked.min(Some(*upto));
                    member.vouched = member.vouched.min(Some(*upto));
                }
            }
            Note::SnapInstalled { zxid, .. } => {
                let line = member.lineage.line(*zxid, &committed);
                member.lineage.base = Some(*zxid);
                member.log = line.clone();
                member.applied = line;
                member.uncuttable = false;
            }
            Note::Serving { on } => member.serving = *on,
            Note::SnapshotSealed { zxid } => {
                // Apache's servers keep their log beside a SNAP; those that only behave like them cannot.
                if member.lineage.awaits_snap && self.cluster.apache.contains(&server) {
                    (member.acked, member.vouched) = (None, None);
                }
                member.lineage.folder.remove(zxid);
                self.arrived(server, *zxid);
            }
            Note::Recovered { from, blank, .. } => {
                // It may have died between the seal and the word of it.
                from.iter().for_each(|from| self.arrived(server, *from));
                let member = self.members.entry(server).or_default();
                member.recovering = false;
                member.lineage.base = *from;
                let mut line = match from {
                    Some(from) if !blank => member.lineage.line(*from, &committed),
                    Some(_) | None => Line::default(),
                };
                for (zxid, hash, _) in &member.replay {
                    line.push(*zxid, *hash, &committed);
                }
                member.log = line.clone();
                member.applied = line;
                member.disowned &= *blank;
                member.blank = *blank;
                if self.cluster.standalone {
                    // What never became durable was never answered; its zxids are free again.
                    let last = member.log.last(&committed).unwrap_or_default();
                    self.proposals.retain(|zxid, _| *zxid <= last);
                }
            }
            Note::MovedAside => {
                member.vouched = member.vouched.max(member.acked.take());
                member.log = Line::default();
            }
            Note::Halting { .. } => member.serving = false,
            Note::SyncChosen { learner, how } => {
                let apache = &self.cluster.apache;
                let mixed = apache.contains(learner) || apache.contains(&server);
                let last = committed.last().map(|entry| entry.zxid);
                let cut = (*how == SyncKind::Trunc && mixed).then_some(last);
                let lineage = &mut self.members.entry(*learner).or_default().lineage;
                (lineage.leader, lineage.awaits_snap) = (Some(server), *how == SyncKind::Snap);
                lineage.cut = cut;
            }
            Note::Elected { .. }
            | Note::Promised { .. }
            | Note::ServingReadOnly { .. }
            | Note::LocalSession { .. }
            | Note::SessionOpened { .. }
            | Note::SessionClosed { .. }
            | Note::SessionExpired { .. }
            | Note::SessionTouched { .. }
            | Note::SessionAttached { .. }
            | Note::WatchFired { .. }
            | Note::PeerUnreachable { .. }
            | Note::PeerReachable { .. }
            | Note::FirstStartWaits { .. }
            | Note::QuotaExceeded(_)
            | Note::Reloaded(_) => {}
        }
        self.committed = committed;
        if let Some(upto) = commit_upto {
            self.commit(now, server, upto);
        }
    }

    /// The history that the snapshot of `zxid` on the disk of `server` stands for, though the server may not have
    /// said yet that it is there; before it has been replayed up to the second, the state in it is nobody's.
    pub(crate) fn snapshot(&self, server: ServerId, zxid: Zxid) -> (Line, Zxid) {
        let known = self.members.get(&server).and_then(|member| member.lineage.folder.get(&zxid));
        match self.arriving(server, zxid).or(known) {
            Some(origin) => (origin.line(&self.committed), origin.end),
            None => (Line::of_committed(self.count_upto(zxid)), zxid),
        }
    }

    /// Where the snapshot of `zxid` comes from, if it is the SNAP that is on its way to `server`.
    fn arriving(&self, server: ServerId, zxid: Zxid) -> Option<&Origin> {
        let lineage = &self.members.get(&server)?.lineage;
        let said = lineage.coming.as_ref().filter(|(base, _)| *base == zxid);
        let leader = lineage.leader.filter(|_| lineage.awaits_snap);
        let kept = || self.members.get(&leader?)?.lineage.folder.get(&zxid);
        said.map(|(_, origin)| origin).or_else(kept)
    }

    /// The snapshot of `zxid` lies in the folder of `server`; if it is the SNAP that was on its way, it is
    /// known where it came from.
    fn arrived(&mut self, server: ServerId, zxid: Zxid) {
        let Some(origin) = self.arriving(server, zxid).cloned() else { return };
        let lineage = &mut self.members.entry(server).or_default().lineage;
        lineage.folder.insert(zxid, origin);
        (lineage.awaits_snap, lineage.coming) = (false, None);
    }

    /// The first `upto` transactions in the log of `server` are committed.
    fn commit(&mut self, now: SimTime, server: ServerId, upto: usize) {
        let Some(member) = self.members.get(&server) else { return };
        if member.log.is_fork(&self.committed) || member.log.common() < self.committed.len() {
            return;
        }
        let take = upto.saturating_sub(self.committed.len());
        let entries: Vec<Entry> = member.log.tail().take(take).copied().collect();
        for entry in entries {
            self.committed.push(entry);
            let fresh = self.judge(now, entry);
            self.digests.push(self.oracle.full_digest());
            self.tree_digests.push(fresh.judged.as_ref().and_then(|judged| judged.tree_digest));
            self.fresh.push(fresh);
        }
        if self.fresh.is_empty() {
            return;
        }
        for member in self.members.values_mut() {
            member.log.settle(&self.committed);
            member.applied.settle(&self.committed);
        }
    }

    fn judge(&mut self, now: SimTime, entry: Entry) -> Fresh {
        let mut fresh = Fresh { entry, call: None, op: None, judged: None };
        let known = self.proposals.get_mut(&entry.zxid).filter(|known| known.hash == entry.hash);
        let (Some(proposal), false) = (known, self.oracle_blind) else {
            self.oracle_blind = true;
            return fresh;
        };
        let (applied, connection) = (proposal.applied, proposal.connection);
        let payload = std::mem::take(&mut proposal.payload);
        let calls = &mut self.calls;
        let mut found = None;
        let judged = self.oracle.commit(payload, |header| {
            found = calls.take(header, connection);
            found.as_ref().map(|(_, asked)| Asked { applied, ..asked.clone() })
        });
        let Some(mut judged) = judged else {
            self.oracle_blind = true;
            return fresh;
        };
        if let Some((op, _)) = &found {
            judged.header.cxid = op.xid;
        }
        let session = SessionId(judged.header.session);
        if matches!(judged.txn, crate::oracle::txn::Txn::CloseSession { .. }) {
            self.closed.entry(session).or_insert((entry.zxid, now));
        }
        if let (Some((op, _)), Some(expected)) = (&found, &judged.expected)
            && !self.unknown.remove(&(op.session, op.xid))
        {
            let outcome = Outcome { zxid: entry.zxid, expected: expected.clone() };
            self.outcomes.insert((op.session, op.xid), outcome);
        }
        (fresh.op, fresh.call) = found.map(|(op, asked)| (op, asked.call)).unzip();
        fresh.judged = Some(judged);
        fresh
    }
}
