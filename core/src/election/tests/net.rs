//! A synchronous world of elections: seeded delays, byte streams cut anywhere, lost links, restarts.
//!
//! Beyond election it models just enough of ZAB: a leader with a quorum of followers serves a new
//! epoch, and whoever has waited too long for that looks again.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::super::*;
use crate::config::EnsembleConfig;
use crate::server::action::{Action, Close, LinkAction};
use crate::server::note::Note;
use crate::time::Wall;

pub(super) struct Net {
    pub(super) now: Mono,
    pub(super) prng: Prng,
    pub(super) ensemble: Ensemble,
    pub(super) nodes: BTreeMap<u64, Node>,
    events: BTreeMap<(Mono, u64), Event>,
    ends: BTreeMap<LinkId, End>,
    counter: u64,
    /// Largest delay of one hop.
    pub(super) latency: Span,
    pub(super) delivered: u64,
}

pub(super) struct Node {
    config: Config,
    pub(super) election: Option<Election>,
    dials: DialIds,
    prng: Prng,
    pub(super) mine: Candidate,
    pub(super) start: Start,
    pub(super) decided: Option<Decided>,
    pub(super) first_started: bool,
    /// Nothing gets in or out, and nothing is refused.
    pub(super) black_hole: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    pub(super) leader: u64,
    pub(super) at: Mono,
    pub(super) serving: Option<Epoch>,
}

/// One side of a connection.
struct End {
    node: u64,
    peer: LinkId,
    /// Nothing may arrive earlier: streams are FIFO.
    clear_at: Mono,
    /// Half-open: nothing that is sent here arrives, and nobody is told.
    mute: bool,
}

enum Event {
    Dialled { node: u64, dial: DialId, to: u64 },
    Bytes { link: LinkId, bytes: Bytes },
    Sent { link: LinkId, bytes: u64 },
    Closed { link: LinkId, end: LinkEnd },
}

pub(super) const PATIENCE: Span = Span::from_ms(3000);

impl Net {
    /// `histories`: (epoch, zxid) of voter 1, 2, ..; `None` is blank. Observers follow the voters.
    pub(super) fn new(seed: u64, histories: &[(u32, Option<u64>)], observers: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let voters = histories.len() as u64;
        let lines = (1..=voters + observers).map(|id| {
            let role = if id > voters { "observer" } else { "participant" };
            format!("server.{id}=h{id}:1:2:{role}\n")
        });
        let config = EnsembleConfig::from_text(&lines.collect::<String>()).unwrap();
        let blank = core::iter::repeat_n(&(0, None), observers as usize);
        let nodes = (1..).zip(histories.iter().chain(blank)).map(|(id, &(epoch, zxid))| {
            let node = Node {
                config: Config::with_defaults(ServerId(id), Some(config.clone()), bytes),
                election: None,
                dials: DialIds::default(),
                prng: Prng::from_seed([id as u8; 32]),
                mine: Candidate { zxid: zxid.map(Zxid), epoch: Epoch(epoch) },
                start: Start::Own,
                decided: None,
                first_started: false,
                black_hole: false,
            };
            (id, node)
        });
        Self {
            now: Mono(1),
            prng: Prng::from_seed(bytes),
            ensemble: Ensemble::new(config.clone()),
            nodes: nodes.collect(),
            events: BTreeMap::new(),
            ends: BTreeMap::new(),
            counter: 0,
            latency: Span::from_ms(20),
            delivered: 0,
        }
    }

    pub(super) fn boot(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.election = Some(Election::new(&node.config, &self.ensemble));
        node.decided = None;
        self.look(id);
    }

    pub(super) fn boot_all(&mut self) {
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.boot(id);
        }
    }

    pub(super) fn look(&mut self, id: u64) {
        let (mine, start) = (self.nodes[&id].mine, self.nodes[&id].start);
        self.nodes.get_mut(&id).unwrap().decided = None;
        self.with(id, |election, cx| election.look(mine, start, cx));
    }

    /// The process is gone; its connections end in order or by reset.
    pub(super) fn kill(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.election = None;
        node.decided = None;
        let links: Vec<LinkId> =
            self.ends.iter().filter(|(_, end)| end.node == id).map(|(&link, _)| link).collect();
        for link in links {
            let how = if self.prng.below(2) == 0 { LinkEnd::Finished } else { LinkEnd::Reset };
            self.cut(link, how, true);
        }
    }

    /// Resets one random connection; what was under way on it is lost.
    pub(super) fn drop_a_link(&mut self) {
        let nth = self.prng.below(self.ends.len() as u64) as usize;
        if let Some(&link) = self.ends.keys().nth(nth) {
            let peer = self.ends[&link].peer;
            self.cut(peer, LinkEnd::Reset, true);
            self.push(self.now, Event::Closed { link, end: LinkEnd::Reset });
        }
    }

    /// One random direction of one connection goes silent for ever.
    pub(super) fn mute_a_link(&mut self) {
        let nth = self.prng.below(self.ends.len() as u64) as usize;
        if let Some(end) = self.ends.values_mut().nth(nth) {
            end.mute = true;
        }
    }

    /// Whatever is under way was heard by servers that had no use for it.
    pub(super) fn lose_messages(&mut self) {
        self.events.retain(|_, event| !matches!(event, Event::Bytes { .. }));
    }

    pub(super) fn run_for(&mut self, span: Span) {
        self.run_until(self.now + span, |_| false);
    }

    /// True where `done` held before the time was over.
    pub(super) fn run_until(&mut self, end: Mono, mut done: impl FnMut(&Self) -> bool) -> bool {
        let most = self.delivered + 100_000;
        while !done(self) {
            assert!(self.delivered < most, "votes go round in circles\n{}", self.picture());
            let event = self.events.keys().next().copied();
            let wake = self
                .nodes
                .iter()
                .filter(|(_, node)| !node.black_hole)
                .filter_map(|(&id, node)| Some((node.election.as_ref()?.deadline()?.0, id)))
                .min();
            let waits = self.nodes.values().filter_map(|node| node.decided);
            let waits = waits.filter(|decided| decided.serving.is_none());
            let give_up = waits.map(|decided| decided.at + PATIENCE + Span(1)).min();
            let next = event.map(|(at, _)| at).into_iter().chain(wake.map(|(at, _)| at)).min();
            let at = next.into_iter().chain(give_up).min();
            let Some(at) = at.filter(|at| *at <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(at);
            match (event, wake) {
                _ if next != Some(at) => {}
                (Some(key), wake) if wake.is_none_or(|(wake, _)| key.0 <= wake) => {
                    let event = self.events.remove(&key).unwrap();
                    self.carry_out(event);
                }
                (_, Some((_, id))) => {
                    self.with(id, |election, cx| election.on_wake(cx));
                }
                (_, None) => unreachable!("one of both gave the time"),
            }
            self.serve_or_give_up();
        }
        true
    }

    fn carry_out(&mut self, event: Event) {
        match event {
            Event::Dialled { node, dial, to } => self.answer_dial(node, dial, to),
            Event::Bytes { link, bytes } => {
                let Some(id) = self.owner(link).filter(|_| !self.ends[&link].mute) else { return };
                self.delivered += 1;
                self.with(id, |election, cx| election.on_bytes(link, bytes, cx));
            }
            Event::Sent { link, bytes } => {
                let Some(id) = self.owner(link) else { return };
                self.with(id, |election, cx| {
                    election.on_sent(link, bytes, cx);
                    None
                });
            }
            Event::Closed { link, end } => {
                let Some(id) = self.owner(link) else { return };
                self.ends.remove(&link);
                self.with(id, |election, cx| election.on_closed(link, end, cx));
            }
        }
    }

    fn owner(&self, link: LinkId) -> Option<u64> {
        let id = self.ends.get(&link)?.node;
        (!self.nodes[&id].black_hole).then_some(id)
    }

    fn answer_dial(&mut self, node: u64, dial: DialId, to: u64) {
        if self.nodes[&node].black_hole || self.nodes[&to].black_hole {
            return;
        }
        if self.nodes[&to].election.is_none() {
            self.with(node, |e, cx| e.on_dial_failed(dial, DialError::Refused, cx));
            return;
        }
        let (near, far) = (LinkId(self.counter + 1), LinkId(self.counter + 2));
        self.counter += 2;
        let clear_at = self.now;
        self.ends.insert(near, End { node, peer: far, clear_at, mute: false });
        self.ends.insert(far, End { node: to, peer: near, clear_at, mute: false });
        self.with(to, |election, cx| election.on_opened(far, None, cx));
        self.with(node, |election, cx| election.on_opened(near, Some(dial), cx));
    }

    fn with(
        &mut self,
        id: u64,
        call: impl FnOnce(&mut Election, &mut Cx<'_>) -> Option<super::super::Event>,
    ) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(election) = &mut node.election else { return };
        let mut out = Outbox::new();
        let at = Stamp { mono: now, wall: Wall(0) };
        let mut cx = Cx { at, out: &mut out, dials: &mut node.dials, prng: &mut node.prng };
        match call(election, &mut cx) {
            None | Some(super::super::Event::LeaderLooks) => {}
            Some(super::super::Event::FirstStart) => {
                node.first_started = true;
                node.start = Start::Own;
                node.mine.zxid = Some(Zxid::ZERO);
                let event = election.look(node.mine, Start::Own, &mut cx);
                assert_eq!(event, None, "others have to be heard first");
            }
            Some(super::super::Event::Decided { leader, .. }) => {
                node.decided = Some(Decided { leader: leader.0, at: now, serving: None });
            }
        }
        for action in out.drain().collect::<Vec<_>>() {
            self.act(id, action);
        }
    }

    fn act(&mut self, id: u64, action: Action) {
        match action {
            Action::Link(LinkAction::Dial { dial, host, .. }) => {
                let to = host.strip_prefix('h').unwrap().parse().unwrap();
                let at = self.now + self.hop();
                self.push(at, Event::Dialled { node: id, dial, to });
            }
            Action::Link(LinkAction::Send { link, bytes }) => {
                let Some(end) = self.ends.get(&link) else { return };
                let peer = end.peer;
                self.push(self.now, Event::Sent { link, bytes: bytes.len() as u64 });
                let cut = self.prng.below(bytes.len() as u64 + 1) as usize;
                for part in [bytes.slice(..cut), bytes.slice(cut..)] {
                    let at = self.arrival(peer);
                    self.push(at, Event::Bytes { link: peer, bytes: part });
                }
            }
            Action::Link(LinkAction::Close { link, how, .. }) => {
                let (how, loses) = match how {
                    Close::Flush => (LinkEnd::Finished, false),
                    Close::Abort => (LinkEnd::Reset, self.prng.below(2) == 0),
                };
                self.cut(link, how, loses);
            }
            Action::Link(LinkAction::Hold { .. } | LinkAction::Resume { .. })
            | Action::Disk(_)
            | Action::Admin { .. }
            | Action::Halt(_) => panic!("an election asked for {action:?}"),
            Action::Note(note) => {
                let _: Note = note;
            }
        }
    }

    /// This side closes; the far one learns of it later.
    fn cut(&mut self, link: LinkId, how: LinkEnd, loses: bool) {
        let Some(end) = self.ends.remove(&link) else { return };
        if loses {
            let peer = end.peer;
            self.events
                .retain(|_, event| !matches!(event, Event::Bytes { link, .. } if *link == peer));
        }
        let at = self.arrival(end.peer);
        self.push(at, Event::Closed { link: end.peer, end: how });
    }

    fn arrival(&mut self, to: LinkId) -> Mono {
        let hop = self.hop();
        let Some(end) = self.ends.get_mut(&to) else { return self.now };
        end.clear_at = end.clear_at.max(self.now + hop);
        end.clear_at
    }

    fn hop(&mut self) -> Span {
        Span(self.prng.below(self.latency.0 + 1))
    }

    fn push(&mut self, at: Mono, event: Event) {
        self.counter += 1;
        self.events.insert((at, self.counter), event);
    }

    fn serve_or_give_up(&mut self) {
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            let Some(decided) = self.nodes[&id].decided else { continue };
            let backed = self.backed(decided.leader);
            match decided.serving {
                Some(_) if !backed => self.look(id),
                None if !backed && self.now.since(decided.at) > PATIENCE => self.look(id),
                None if backed => self.serve(id, decided),
                Some(_) | None => {}
            }
        }
    }

    /// A leader names the epoch; its followers learn it from there.
    fn serve(&mut self, id: u64, decided: Decided) {
        let unnamed = self.nodes[&decided.leader].decided.is_some_and(|d| d.serving.is_none());
        if unnamed && id != decided.leader {
            return;
        }
        let lead = &self.nodes[&decided.leader];
        let epoch = lead.decided.and_then(|lead| lead.serving).unwrap_or_else(|| {
            let highest = self.nodes.values().map(|node| node.mine.epoch).max();
            highest.and_then(Epoch::next).unwrap()
        });
        let zxid = lead.mine.zxid;
        let state = if decided.leader == id {
            PeerState::Leading
        } else if self.ensemble.is_voter(ServerId(id)) {
            PeerState::Following
        } else {
            PeerState::Observing
        };
        let node = self.nodes.get_mut(&id).unwrap();
        node.decided = Some(Decided { serving: Some(epoch), ..decided });
        node.start = Start::Own;
        if self.ensemble.is_voter(ServerId(id)) {
            node.mine = Candidate { zxid, epoch };
        }
        self.with(id, |election, cx| {
            election.serve(state, ServerId(decided.leader), epoch, cx);
            None
        });
    }

    pub(super) fn picture(&self) -> String {
        self.nodes
            .iter()
            .map(|(id, n)| {
                let view = n.election.as_ref().map(|e| {
                    let up: Vec<_> = e.links.up().map(|id| id.0).collect();
                    (
                        e.round,
                        e.notification().map(|n| (n.state, n.leader, n.zxid)),
                        up,
                        e.deadline(),
                    )
                });
                format!("{id}: {:?} {:?} {view:?}\n", n.mine, n.decided)
            })
            .collect()
    }

    /// Whether that server leads a quorum.
    pub(super) fn backed(&self, leader: u64) -> bool {
        let follows = |node: &Node| node.decided.is_some_and(|decided| decided.leader == leader);
        follows(&self.nodes[&leader])
            && self.ensemble.has_quorum(
                self.nodes
                    .iter()
                    .filter(|(_, node)| follows(node) && !node.black_hole)
                    .map(|(&id, _)| ServerId(id)),
            )
    }

    /// The leader that all of these servers have decided on.
    pub(super) fn agreed(&self, ids: impl IntoIterator<Item = u64>) -> Option<u64> {
        let mut leaders = ids.into_iter().map(|id| Some(self.nodes[&id].decided?.leader));
        let first = leaders.next()??;
        leaders.all(|leader| leader == Some(first)).then_some(first)
    }

    /// Servers whose own history ranks no higher than that of `leader`.
    pub(super) fn ranks_first(&self, leader: u64, histories: &[(u32, Option<u64>)]) -> bool {
        let rank = |id: u64| {
            let (epoch, zxid) = histories[id as usize - 1];
            zxid.map(|zxid| (epoch, zxid, id))
        };
        let lower = (1..=histories.len() as u64).filter(|&id| rank(id) <= rank(leader));
        self.ensemble.has_quorum(lower.map(ServerId))
    }
}
