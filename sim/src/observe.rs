//! What checkers see of a run: one totally ordered list of events.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use vivarium_core::config::Config;
use vivarium_core::ids::{Epoch, LinkId, ServerId, SessionId, Zxid};
use vivarium_core::server::action::Halt;
use vivarium_core::server::input::Queue;
use vivarium_core::server::note::{Note, StateDigest};
use vivarium_core::server::view::View;
use vivarium_core::storage::snapshot::Damage;
use vivarium_core::time::Mono;

use crate::disk_view::DiskView;
use crate::history::ClientFact;
use crate::ids::{NodeId, SimTime};
use crate::schedule::FaultKind;

/// A broken promise. The run ends at the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Name of the invariant: `P3`, `S6`, `T1`, `L2`, `panic` ..
    pub check: String,
    /// One sentence for a person.
    pub what: String,
}

impl Violation {
    pub fn new(check: impl Into<String>, what: impl Into<String>) -> Self {
        Self { check: check.into(), what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// Why a bound on liveness was not asked of a run, or later: computed from the run itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excuse {
    /// Name of the invariant that was less strict.
    pub check: String,
    /// One sentence for a person.
    pub why: String,
}

impl fmt::Display for Excuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.why)
    }
}

/// Judges a run while it happens.
///
/// `disks` shows what would survive a power cut at this very moment. Within one step of a server,
/// its notes come in causal order, and before the world carries out any later action of that step.
pub trait Observer {
    fn event(
        &mut self,
        now: SimTime,
        node: NodeId,
        event: &SimEvent,
        disks: &dyn DiskView,
    ) -> Result<(), Violation>;

    /// The earliest moment at which `due` wants to be called, for bounds on liveness.
    fn deadline(&self) -> Option<SimTime> {
        None
    }

    /// A moment named by `deadline` has come.
    fn due(&mut self, now: SimTime, disks: &dyn DiskView) -> Result<(), Violation> {
        let _ = (now, disks);
        Ok(())
    }

    /// Whether everything that the calm phase is there to show has been seen, as of now.
    fn is_content(&mut self, now: SimTime, disks: &dyn DiskView) -> bool {
        let _ = (now, disks);
        true
    }

    /// What was excused, as of now.
    fn excuses(&self) -> Vec<Excuse> {
        Vec::new()
    }

    /// The run is over: content, or at the end of its patience.
    fn finish(&mut self, now: SimTime, disks: &dyn DiskView) -> Result<(), Violation> {
        let _ = (now, disks);
        Ok(())
    }
}

/// One fact about the run.
#[derive(Clone, Debug)]
pub enum SimEvent {
    /// The first event of a run: how every server is configured.
    Cluster {
        servers: Vec<Config>,
        /// Those that behave as Apache's do.
        apache: Vec<ServerId>,
    },
    /// A process of this server begins to recover. Counts from 1.
    Boot {
        incarnation: u32,
    },
    /// Recovery is done; the server takes inputs. Its `Recovered` note precedes this.
    Up {
        incarnation: u32,
    },
    /// The process is gone, not by its own will.
    Crash(CrashKind),
    /// The process ended itself.
    Exit(Halt),
    Paused,
    Resumed,
    Note(Note),
    /// The server ends a connection to another one because of what that one said.
    Objection {
        to: ServerId,
        why: &'static str,
    },
    /// A server of ours that leads, or may, hears this over a link, or says it.
    Word {
        link: LinkId,
        word: Word,
    },
    Durable(Durable),
    /// The process was told that all is done which it had asked the queue of its log for, and has carried out
    /// what it makes of that.
    LogDone,
    /// It asks for an append to its log of several records, which is longer than a batch may be.
    BatchOutgrown {
        bytes: u64,
        limit: u64,
    },
    /// The process is told that an operation of this queue failed.
    DiskFailed {
        queue: Queue,
    },
    /// The process is told that a read failed.
    ReadFailed,
    /// Had this server lost power now, its next process would have found this.
    Shadow(Shadow),
    /// A fault destroyed durable state: what this server had promised is charged to the atlas.
    HistoryLost(LossKind),
    Client(ClientFact),
    /// A peer of Apache's kind sends a SNAP that names `base`, which need not be committed yet, and holds
    /// parts of transactions up to `end`: before those are applied once more, the learner's state is
    /// nobody's.
    ApacheSnap {
        learner: ServerId,
        base: Zxid,
        end: Zxid,
    },
    /// The same of this server's newest snapshot file.
    FuzzyFile {
        base: Zxid,
        end: Zxid,
    },
    /// There are connections that carry nothing any more, without a word to either side; or the last of
    /// them is gone. Unlike other faults this one lasts as long as the connection does.
    HalfOpen {
        on: bool,
    },
    /// How many units of the fault schedule, of any class, are in force from now on.
    Faults {
        active: u32,
    },
    /// Faults have destroyed more than a quorum can bear, and are over: these voters have lost something,
    /// and the others are no quorum.
    QuorumLost {
        lost: Vec<ServerId>,
    },
    /// Faults are over. `dead` stay dead until the end, and `sick` sick; all others are up, or boot right
    /// now.
    Healed {
        dead: Vec<ServerId>,
        sick: Vec<(ServerId, Sickness)>,
    },
    /// Packets and frames that servers have decoded so far; when the clients begin to leave, and at the end of
    /// the run.
    Traffic {
        messages: u64,
    },
    /// The clients have left, and their sessions had time to end: what this server still holds.
    AtRest(Box<View>),
}

/// What a leader and one of its learners say to each other, as far as one is the evidence of the other. Read
/// off the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The learner says who it is.
    Comes {
        learner: ServerId,
        observer: bool,
    },
    /// The leader lets it serve: from here on it answers each PING.
    UpToDate,
    /// The leader sends PING; the learner answers one, each in its turn. `heard`: whether the learner has said
    /// anything since the last one. `at`: by the leader's own clock.
    Ping {
        heard: bool,
        at: Mono,
    },
    Echo,
    AsksSync,
    /// The leader answers a sync. `told`: up to where it has called transactions committed before.
    Sync {
        told: Zxid,
    },
    /// The learner asks whether a session lives.
    AsksSession {
        session: SessionId,
    },
    /// The leader says whether it does. `told`: as of a sync.
    Session {
        session: SessionId,
        valid: bool,
        told: Zxid,
    },
}

/// What stays wrong with a server in the calm phase, without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sickness {
    /// The process hangs.
    Stalled,
    DiskFull,
    /// No operation of its disk completes any more.
    DiskStalled,
    /// No other server hears it.
    Mute,
    /// It hears no other server.
    Deaf,
}

impl Sickness {
    /// What a fault is that does not end.
    pub fn of(kind: FaultKind) -> Option<Self> {
        let lasting = [
            (FaultKind::Pause, Self::Stalled),
            (FaultKind::DiskFull, Self::DiskFull),
            (FaultKind::DiskStall, Self::DiskStalled),
            (FaultKind::Isolate { one_way: Some(true) }, Self::Mute),
            (FaultKind::Isolate { one_way: Some(false) }, Self::Deaf),
        ];
        lasting.into_iter().find(|(known, _)| *known == kind).map(|(_, sickness)| sickness)
    }

    /// A short name for summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stalled => "stays_stalled",
            Self::DiskFull => "stays_full",
            Self::DiskStalled => "stays_disk_stalled",
            Self::Mute => "stays_mute",
            Self::Deaf => "stays_deaf",
        }
    }

    /// It cannot take part in a quorum, nor lead, whatever it believes.
    pub const fn is_cut_off(self) -> bool {
        matches!(self, Self::Stalled | Self::Mute | Self::Deaf)
    }
}

/// How a folder of ours became one that Apache's server leaves.
#[derive(Clone, Debug)]
pub struct Aged {
    /// The name of the newest snapshot, and the last transaction that it holds parts of.
    pub base: Zxid,
    pub end: Zxid,
    /// Ends of sessions that are logged without the nodes that went with them.
    pub bare: BTreeSet<Zxid>,
}

/// A recovery of a copy of a disk.
#[derive(Clone, Debug)]
pub enum Shadow {
    /// The notes of a recovery that gave a server. `aged`: of what Apache's server would have left.
    Recovered { notes: Vec<Note>, aged: Option<Aged> },
    /// What the file holds that was just `sealed`, or why it cannot be read: what a learner would be sent, and
    /// what replay may mend before anybody sees it.
    SnapshotAlone { sealed: Zxid, read: Result<StateDigest, Damage> },
    /// It would not have started, or not without a panic.
    Refused(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrashKind {
    /// The page cache survives.
    Process,
    /// Everything that was not synced may be gone.
    PowerLoss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// The folder is empty now.
    Wiped,
    /// A durable byte of the log is flipped.
    BitRot,
    /// The same of a snapshot.
    SnapshotRot,
    /// A write of the log landed on older records, and is not in its place.
    Misdirected,
}

/// What a sync, or a crash, made of the image that survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// Durable log records changed; `last` is the newest in the newest log file.
    Log {
        last: Option<Zxid>,
    },
    /// A complete snapshot is durable under its final name.
    Snapshot {
        zxid: Zxid,
    },
    AcceptedEpoch(Epoch),
    CurrentEpoch(Epoch),
    /// A file that carried history lost its name for good; whether it has another, as damaged.
    Removed {
        aside: bool,
    },
}
