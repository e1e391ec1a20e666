//! Events in words, for people who do not know the code.

use std::collections::BTreeMap;

use vivarium_core::ids::{Epoch, SessionId, Zxid};
use vivarium_core::server::action::{FatalReason, Halt, RestartReason};
use vivarium_core::server::input::{DialError, DiskFault, LinkEnd, Plane};
use vivarium_core::server::note::{LocalChange, Note, Phase, SyncKind};
use vivarium_core::timers::Timer;
use vivarium_core::tree::QuotaExcess;

use super::describe;
use super::{EventId, Recording, What};
use crate::history::{ClientFact, Forgery, SessionFact};
use crate::observe::{CrashKind, Durable, LossKind};

/// Tells the events of one recording.
#[derive(Debug)]
pub struct Teller<'a> {
    recording: &'a Recording,
    /// Messages by the event that sent, or that received them.
    messages: BTreeMap<EventId, Vec<usize>>,
}

impl<'a> Teller<'a> {
    pub fn new(recording: &'a Recording) -> Self {
        let mut messages = BTreeMap::<EventId, Vec<usize>>::new();
        for (index, message) in recording.messages.iter().enumerate() {
            for event in [Some(message.sent), message.received].into_iter().flatten() {
                messages.entry(event).or_default().push(index);
            }
        }
        Self { recording, messages }
    }

    /// One line about an event, without its time and its host.
    pub fn tell(&self, id: EventId) -> String {
        match &self.recording.event(id).what {
            What::Boot => String::from("boots"),
            What::Up => String::from("has recovered, and takes part"),
            What::Crash(CrashKind::Process) => String::from("is killed"),
            What::Crash(CrashKind::PowerLoss) => String::from("loses power"),
            What::Exit(halt) => format!("ends itself: {}", halt_reason(halt)),
            What::Paused => String::from("is paused"),
            What::Resumed => String::from("goes on"),
            What::Woken(timer) => format!("is woken{}", timer.map_or("", timer_name)),
            What::StopAsked => String::from("is asked to stop"),
            What::Disguised => String::from("behaves as Apache's"),
            What::Dialled { to, plane } => format!("dials {to}, {}", plane_name(*plane)),
            What::DialFailed { why } => format!("cannot connect: {}", dial_error(*why)),
            What::Opened { far, plane, dialled: true, .. } => {
                format!("is connected to {far}, {}", plane_name(*plane))
            }
            What::Opened { far, plane, dialled: false, .. } => {
                format!("accepts a connection of {far}, {}", plane_name(*plane))
            }
            What::Sent { bytes, .. } => self.traffic(id, "sends", "to", *bytes),
            What::Received { bytes, .. } => self.traffic(id, "gets", "from", *bytes),
            What::Closes { why, .. } => format!("closes a connection: {why}"),
            What::Closed { how, .. } => String::from(match how {
                LinkEnd::Finished => "a connection was closed by the other side",
                LinkEnd::Reset => "a connection broke",
                LinkEnd::Closed => "a connection is gone",
            }),
            What::Disk { text, .. } => format!("disk: {text}"),
            What::DiskDone => format!("done: {}", self.operation(id)),
            What::DiskFailed => format!("FAILED: {}", self.operation(id)),
            What::Durable(change) => durable(*change),
            What::HistoryLost(LossKind::Wiped) => String::from("its disk is empty now"),
            What::HistoryLost(LossKind::BitRot) => String::from("a byte of its log is flipped"),
            What::HistoryLost(LossKind::SnapshotRot) => {
                String::from("a byte of its snapshot is flipped")
            }
            What::HistoryLost(LossKind::Misdirected) => {
                String::from("a write to its log went astray")
            }
            What::Note(told) => note(told),
            What::Client(fact) => client(fact),
            What::ClientStarts => String::from("starts, or hears that faults are over"),
            What::ClientWoken => String::from("is woken"),
            What::FaultBegins(unit) => format!("fault #{unit}: {}", self.fault(*unit)),
            What::FaultSkipped(unit) => format!("could not strike: #{unit} {}", self.fault(*unit)),
            What::FaultEnds(unit) => format!("end of fault #{unit}: {}", self.fault(*unit)),
            What::Healed { dead } if dead.is_empty() => String::from("all faults end"),
            What::Healed { dead } => {
                let names: Vec<_> = dead.iter().map(ToString::to_string).collect();
                format!("all faults end; {} never starts again", names.join(", "))
            }
            What::FuzzySnap { base, end } => {
                format!("a snapshot of {base:?} holds parts of transactions up to {end:?}")
            }
            What::Violation(violation) => format!("VIOLATION {violation}"),
        }
    }

    /// Messages that were sent, or became whole, with this event.
    pub fn messages_of(&self, id: EventId) -> &[usize] {
        self.messages.get(&id).map_or(&[], Vec::as_slice)
    }

    fn traffic(&self, id: EventId, verb: &str, preposition: &str, bytes: u64) -> String {
        let messages = self.messages_of(id);
        let Some(&first) = messages.first() else {
            return format!("{verb} {bytes} bytes, the middle of a message");
        };
        let first = &self.recording.messages[first];
        let sends = first.sent == id;
        let other = if sends { first.to } else { first.from };
        let texts = messages.iter().map(|&index| self.recording.messages[index].text.as_str());
        format!("{verb} {} {preposition} {other}", texts.collect::<Vec<_>>().join(" + "))
    }

    fn operation(&self, id: EventId) -> &str {
        let causes = self.recording.event(id).causes.iter();
        let mut texts = causes.filter_map(|&cause| {
            let What::Disk { text, .. } = &self.recording.event(cause).what else { return None };
            Some(text.as_str())
        });
        texts.next_back().unwrap_or("a disk operation")
    }

    fn fault(&self, unit: usize) -> String {
        self.recording.faults.get(unit).map_or_else(String::new, ToString::to_string)
    }
}

fn halt_reason(halt: &Halt) -> String {
    match halt {
        Halt::Stop => String::from("it was asked to stop"),
        Halt::Restart(RestartReason::Truncated) => String::from("its log was cut, it restarts"),
        Halt::Restart(RestartReason::SnapIncomplete) => {
            String::from("a SNAP broke off, it restarts")
        }
        Halt::Restart(RestartReason::LogUnreadable) => {
            String::from("it cannot read its log, it restarts")
        }
        Halt::Fatal(FatalReason::Disk { file, fault }) => {
            let fault = match fault {
                DiskFault::Io => "the disk fails",
                DiskFault::NoSpace => "no space is left",
                DiskFault::Denied => "access is denied",
            };
            format!("{fault}, {file}")
        }
        Halt::Fatal(FatalReason::Corrupt { file, offset, what }) => {
            format!("{file} is damaged at byte {offset}: {what}")
        }
        Halt::Fatal(FatalReason::Config(what)) => format!("its configuration is wrong: {what}"),
    }
}

fn timer_name(timer: Timer) -> &'static str {
    match timer {
        Timer::Election => ": election",
        Timer::Redial => ": time to connect again",
        Timer::Phase => ": a ping or a limit of its phase is due",
        Timer::Sessions => ": sessions",
        Timer::Containers => ": containers and TTL nodes",
        Timer::Handshakes => ": a silent client",
        Timer::Housekeeping => ": housekeeping",
    }
}

pub(crate) fn plane_name(plane: Plane) -> &'static str {
    match plane {
        Plane::Election => "election port",
        Plane::Quorum => "quorum port",
        Plane::Client => "client port",
    }
}

fn dial_error(why: DialError) -> &'static str {
    match why {
        DialError::Refused => "refused",
        DialError::TimedOut => "nobody answers",
        DialError::Unresolved => "the name is not known",
        DialError::Other => "something failed",
    }
}

fn durable(change: Durable) -> String {
    match change {
        Durable::Log { last: Some(last) } => format!("on disk: the log up to {last:?}"),
        Durable::Log { last: None } => String::from("on disk: an empty log"),
        Durable::Snapshot { zxid } => format!("on disk: a snapshot of {zxid:?}"),
        Durable::AcceptedEpoch(epoch) => format!("on disk: acceptedEpoch {}", epoch.0),
        Durable::CurrentEpoch(epoch) => format!("on disk: currentEpoch {}", epoch.0),
        Durable::Removed { aside: false } => String::from("on disk: a file of its history is gone"),
        Durable::Removed { aside: true } => {
            String::from("on disk: a file of its history is set aside as damaged")
        }
    }
}

/// A phase as two words: what a server is, and which part of it.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Looking => "looking",
        Phase::LeadingDiscovery => "leader, discovery",
        Phase::LeadingSynchronization => "leader, synchronization",
        Phase::LeadingBroadcast => "leader",
        Phase::FollowingDiscovery => "follower, discovery",
        Phase::FollowingSynchronization => "follower, synchronization",
        Phase::FollowingBroadcast => "follower",
        Phase::ObservingDiscovery => "observer, discovery",
        Phase::ObservingSynchronization => "observer, synchronization",
        Phase::ObservingBroadcast => "observer",
        Phase::Standalone => "standalone",
        Phase::Halted => "halted",
    }
}

fn note(note: &Note) -> String {
    match note {
        Note::PhaseEntered { phase, epoch } => {
            format!("becomes {} (epoch {})", phase_name(*phase), epoch.0)
        }
        Note::Elected { leader, round } => format!("elects s{leader} in round {round}"),
        Note::EpochAccepted { epoch } => format!("has accepted epoch {}", epoch.0),
        Note::EpochEntered { epoch, history } => {
            format!("enters epoch {} with {}", epoch.0, history_upto(*history))
        }
        Note::Established { epoch, history } => {
            format!("is established for epoch {} with {}", epoch.0, history_upto(*history))
        }
        Note::Promised { epoch, by, last, current } => format!(
            "counts the promise of s{by} for epoch {}: {}, current epoch {}",
            epoch.0,
            history_upto(*last),
            current.0
        ),
        Note::Proposed { zxid, payload, .. } => {
            format!("proposes {zxid:?}: {}", describe::payload(payload.clone()))
        }
        Note::Logged { zxid, source, .. } => logged(*zxid, *source),
        Note::AckedTxn { zxid, .. } => format!("acknowledges {zxid:?}"),
        Note::AckedNewLeader { epoch, history } => {
            format!("acknowledges NEWLEADER of epoch {} with {}", epoch.0, history_upto(*history))
        }
        Note::Committed { zxid } => format!("commits {zxid:?}"),
        Note::Applied { zxid, recovered: false, .. } => format!("applies {zxid:?}"),
        Note::Applied { zxid, recovered: true, .. } => format!("replays {zxid:?} of its own log"),
        Note::Truncated { upto } => format!("cuts its log behind {upto:?}"),
        Note::Uncuttable { upto } => format!("has no snapshot to cut behind {upto:?}"),
        Note::Disowned { upto } => {
            format!("gives up its history for a snapshot of {upto:?}, and counts for nothing")
        }
        Note::SnapInstalled { zxid, .. } => format!("installs the leader's snapshot of {zxid:?}"),
        Note::SnapshotSealed { zxid } => format!("has written a snapshot of {zxid:?}"),
        Note::Serving { on: true } => String::from("serves clients"),
        Note::Serving { on: false } => String::from("serves clients no longer"),
        Note::ServingReadOnly { on: true } => String::from("serves those who only want to read"),
        Note::ServingReadOnly { on: false } => String::from("serves readers no longer"),
        Note::Recovered { last, blank, .. } => {
            let blank = if *blank { ", blank" } else { "" };
            format!("recovered {}{blank}", history_upto(*last))
        }
        Note::MovedAside => String::from("moved damaged files aside"),
        Note::SessionOpened { session, timeout_ms } => {
            format!("session {session} begins, {timeout_ms} ms")
        }
        Note::SessionClosed { session, zxid } => format!("session {session} ends with {zxid:?}"),
        Note::SessionExpired { session, idle_ms, timeout_ms } => {
            format!("session {session} expires: idle for {idle_ms} ms of {timeout_ms}")
        }
        Note::SessionTouched { session, timeout_ms } => {
            format!("session {session} is used, and lives for {timeout_ms} ms from here")
        }
        Note::LocalSession { session, change } => local_session(*session, *change),
        Note::SessionAttached { session, .. } => format!("session {session} is attached"),
        Note::WatchFired { session, kind, zxid } => {
            format!("watch of {session} fires: {kind:?} with {zxid:?}")
        }
        Note::SyncChosen { learner, how } => format!("brings s{learner} up by {}", means(*how)),
        Note::PeerUnreachable { peer, why, .. } => {
            format!("cannot reach s{peer}: {}", dial_error(*why))
        }
        Note::PeerReachable { peer } => format!("reaches s{peer} again"),
        Note::FirstStartWaits { awaited } => {
            let names: Vec<_> = awaited.iter().map(|id| format!("s{id}")).collect();
            format!("a first start: waits for {}", names.join(", "))
        }
        Note::QuotaExceeded(QuotaExcess { limited, amount, limit, hard, .. }) => {
            let kind = if *hard { "hard" } else { "soft" };
            format!("the quota of {limited} is exceeded: {amount} of {limit}, {kind}")
        }
        Note::Reloaded(_) => String::from("read its configuration again"),
        Note::Halting { restart } => match restart {
            Some(reason) => format!("halts, to be restarted: {reason:?}"),
            None => String::from("halts"),
        },
    }
}

fn local_session(session: SessionId, change: LocalChange) -> String {
    match change {
        LocalChange::Opened { timeout_ms } => {
            format!("local session {session} begins, {timeout_ms} ms")
        }
        LocalChange::Touched => format!("local session {session} is used"),
        LocalChange::Upgraded => format!("local session {session} is to be global"),
        LocalChange::Closed => format!("local session {session} ends"),
        LocalChange::Expired { idle_ms, timeout_ms } => {
            format!("local session {session} expires: idle for {idle_ms} ms of {timeout_ms}")
        }
    }
}

fn logged(zxid: Zxid, source: Epoch) -> String {
    format!("logs {zxid:?} of the leader of epoch {}", source.0)
}

fn history_upto(last: Option<Zxid>) -> String {
    last.map_or_else(|| String::from("no history"), |last| format!("history up to {last:?}"))
}

fn means(how: SyncKind) -> &'static str {
    match how {
        SyncKind::DiffWindow => "DIFF, from memory",
        SyncKind::DiffDisk => "DIFF, from its log",
        SyncKind::Trunc => "TRUNC",
        SyncKind::Snap => "SNAP",
    }
}

fn client(fact: &ClientFact) -> String {
    match fact {
        ClientFact::Invoke { op, call } => {
            format!("asks s{}: {} (xid {})", op.server, describe::call(call), op.xid)
        }
        ClientFact::Ok { op, zxid, .. } => {
            format!("is answered ok at {} (xid {})", raw_zxid(*zxid), op.xid)
        }
        ClientFact::Err { op, zxid, code } => {
            format!("is answered {} at {} (xid {})", error_name(*code), raw_zxid(*zxid), op.xid)
        }
        ClientFact::Unknown { op } => format!("will never know (xid {})", op.xid),
        ClientFact::Ping { session, .. } => format!("pings, session {session}"),
        ClientFact::Pong { zxid, .. } => format!("gets its pong at {}", raw_zxid(*zxid)),
        ClientFact::Watch { kind, path, zxid, .. } => {
            format!("is told {kind:?} {path} at {}", raw_zxid(*zxid))
        }
        ClientFact::Session(fact) => session(fact),
        ClientFact::Nonsense { server, what, .. } => format!("nonsense from s{server}: {what}"),
    }
}

pub(crate) fn error_name(code: i32) -> String {
    vivarium_core::wire::code::Code::from_wire(code)
        .map_or_else(|| format!("error {code}"), |code| format!("{code:?}"))
}

fn raw_zxid(zxid: i64) -> String {
    Zxid::from_wire(zxid).map_or_else(|| zxid.to_string(), |zxid| format!("{zxid:?}"))
}

fn session(fact: &SessionFact) -> String {
    match fact {
        SessionFact::Asked { resume: None, server, .. } => {
            format!("asks s{server} for a new session")
        }
        SessionFact::Asked { resume: Some(session), server, .. } => {
            format!("asks s{server} to go on with session {session}")
        }
        SessionFact::Granted { asked: Some(_), got, server, .. } => {
            format!("goes on as {got} at s{server}")
        }
        SessionFact::Granted { asked: None, got, server, timeout_ms, .. } => {
            format!("has session {got} of s{server}, {timeout_ms} ms")
        }
        SessionFact::ReadOnly { session, server } => {
            format!("may only read with session {session}: s{server} has no quorum")
        }
        SessionFact::Forged { session, server, forgery, granted } => {
            let answer = if *granted { "granted" } else { "refused" };
            let why = match forgery {
                Forgery::WrongPassword => "with a wrong password",
                Forgery::ClientAhead => "by who claims to have seen the future",
            };
            format!("session {session}, asked for {why}, is {answer} at {server}")
        }
        SessionFact::Expired { session, server } => {
            format!("hears from s{server} that session {session} is over")
        }
        SessionFact::Detached { session, cut_off, .. } => {
            let how = if *cut_off { "is cut off" } else { "has no connection any more" };
            format!("{how}, session {session}")
        }
        SessionFact::Silent { session } => format!("falls silent, session {session}"),
        SessionFact::GaveUp { server } => {
            format!("waits no longer for a session of s{server}")
        }
        SessionFact::Left { session } => format!("gives up session {session}"),
    }
}
