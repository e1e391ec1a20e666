//! What the server does, as lines.

use bytes::Bytes;
use vivarium_core::ids::LinkId;
use vivarium_core::server::action::{Action, LinkAction};
use vivarium_core::server::input::Plane;
use vivarium_core::server::note::{LocalChange, Note};
use vivarium_core::wire::client::{OP_CREATE_SESSION, ReplyBody};
use vivarium_core::wire::frame::{PacketBuffer, VoteBuffer};
use vivarium_core::wire::quorum::{LeaderPacket, LearnerPacket};
use vivarium_core::wire::vote::Notification;

use super::Rig;
use crate::client::{Client, Outcome};

/// The far side of a link, as far as it must be to read what the server sends.
pub(super) enum FarSide {
    Voter {
        greeted: bool,
        buffer: VoteBuffer,
    },
    /// `in_snapshot`: the raw stream behind SNAP is on its way.
    Learner {
        in_snapshot: bool,
        buffer: PacketBuffer,
    },
    Leader(PacketBuffer),
    Client(Box<Client>),
    /// It asks with four letters; the lines of the answer that begin so are of interest.
    Operator,
}

impl Rig {
    pub(super) fn hear(&mut self, action: Action) {
        match action {
            Action::Link(LinkAction::Dial { dial, plane, host, .. }) => {
                if plane == Plane::Quorum {
                    self.last_dial = Some(dial);
                    self.said.push(format!("dial {host} for the quorum"));
                }
            }
            Action::Link(LinkAction::Send { link, bytes }) => self.decode(link, bytes),
            Action::Link(LinkAction::Hold { link }) => self.said.push(format!("hold {link}")),
            Action::Link(LinkAction::Resume { link }) => self.said.push(format!("resume {link}")),
            Action::Link(LinkAction::Close { link, why, .. }) => {
                self.said.push(format!("close {link} {why:?}"));
            }
            Action::Disk(action) => self.queue(action),
            Action::Admin { answer, .. } => self.said.push(answer),
            Action::Halt(halt) => self.said.push(format!("halt {halt:?}")),
            Action::Note(note) => self.note(&note),
        }
    }

    /// Only what shows in no other action.
    #[allow(clippy::wildcard_enum_match_arm)]
    pub(super) fn note(&mut self, note: &Note) {
        match note {
            Note::PhaseEntered { .. }
            | Note::Elected { .. }
            | Note::Established { .. }
            | Note::AckedTxn { .. }
            | Note::AckedNewLeader { .. }
            | Note::Committed { .. }
            | Note::Serving { .. }
            | Note::ServingReadOnly { .. }
            | Note::SnapInstalled { .. }
            | Note::Truncated { .. }
            | Note::Disowned { .. }
            | Note::Uncuttable { .. } => {
                let text = format!("{note:?}");
                let text = text.split(", digest").next().unwrap_or("");
                self.said.push(format!("note {text}"));
            }
            Note::SessionExpired { idle_ms, timeout_ms, .. } => {
                self.said.push(format!("note SessionExpired after {idle_ms} of {timeout_ms} ms"));
            }
            Note::LocalSession { change: LocalChange::Touched, .. } => {}
            Note::LocalSession { change, .. } => {
                self.said.push(format!("note LocalSession {change:?}"));
            }
            Note::Applied { zxid, .. } => self.said.push(format!("note Applied {zxid:?}")),
            _ => {}
        }
    }

    pub(super) fn decode(&mut self, link: LinkId, bytes: Bytes) {
        let mut lines = Vec::new();
        match self.far.get_mut(&link.0).unwrap_or_else(|| panic!("nobody at {link}")) {
            FarSide::Voter { greeted, buffer } => {
                buffer.push(bytes);
                if !*greeted {
                    *greeted = buffer.next_initial().expect("initial message").is_some();
                }
                while let Some(message) = buffer.next_message().expect("a message") {
                    let said = Notification::decode(message).expect("a notification");
                    let leader = said.leader.map_or(0, |leader| leader.0);
                    let vote = match said.zxid {
                        Some(_) => format!("for {leader}"),
                        None => "without a vote".into(),
                    };
                    lines.push(format!("{:?} {vote}, round {}", said.state, said.round));
                }
            }
            FarSide::Learner { in_snapshot, buffer } => {
                buffer.push(bytes);
                loop {
                    if *in_snapshot {
                        *in_snapshot = !skip_snapshot(buffer);
                    }
                    if *in_snapshot {
                        break;
                    }
                    let packet = buffer.next_leader_packet(1 << 20).expect("a packet");
                    let Some(packet) = packet else { break };
                    lines.push(short(&format!("{packet:?}")));
                    *in_snapshot = matches!(packet, LeaderPacket::Snap { .. });
                }
            }
            FarSide::Leader(buffer) => {
                buffer.push(bytes);
                while let Some(packet) = buffer.next_learner_packet(1 << 20).expect("a packet") {
                    if let LearnerPacket::Request(request) = &packet
                        && request.op == OP_CREATE_SESSION
                    {
                        self.asked_session = Some(request.session);
                    }
                    lines.push(short(&format!("{packet:?}")));
                }
            }
            FarSide::Operator => {
                let text = String::from_utf8_lossy(&bytes);
                let telling =
                    ["ro", "rw", "null", "Mode", "This", "Local", "Global", "zk_server_state"];
                let telling = [&telling[..], &["zk_global_sessions", "zk_local_sessions"]].concat();
                let told = |line: &&str| telling.iter().any(|start| line.starts_with(start));
                lines.extend(text.lines().filter(told).map(str::to_owned));
            }
            FarSide::Client(client) => {
                let known = client.session;
                client.on_bytes(bytes, 0);
                let new = client.session.filter(|_| known.is_none());
                if new.is_some_and(|new| !self.given.insert(new)) {
                    lines.push("a session id that was given before".into());
                }
                lines.append(&mut client.heard);
                lines.extend(client.finished.drain(..).filter_map(|done| text_of(&done.outcome)));
            }
        }
        self.said.extend(lines.into_iter().map(|line| format!("{link} <- {line}")));
    }
}

/// The data of a node in a reply, where it is more than the letter that `ask` writes.
fn text_of(outcome: &Outcome) -> Option<String> {
    let Outcome::Reply { body: ReplyBody::Data { data: Some(data), .. }, .. } = outcome else {
        return None;
    };
    (data.len() > 1).then(|| format!("data {:?}", String::from_utf8_lossy(data)))
}

/// Whether the end of it is here.
fn skip_snapshot(buffer: &mut PacketBuffer) -> bool {
    let rest = buffer.take_rest();
    let start = rest.windows(SIGNATURE.len()).position(|at| at == SIGNATURE);
    let used = start.map_or(0, |start| start + SIGNATURE.len());
    buffer.unread(rest.slice(used..));
    start.is_some()
}

/// A packet without the fields that say nothing here.
fn short(packet: &str) -> String {
    let noise = [", payload", ", config:", ", info:", ", vivarium:", " Request("];
    let end = noise.iter().filter_map(|noise| packet.find(noise)).min().unwrap_or(packet.len());
    packet[..end].to_owned()
}

/// What ends a leader's snapshot stream.
pub(super) const SIGNATURE: &[u8] = b"BenWasHere";
