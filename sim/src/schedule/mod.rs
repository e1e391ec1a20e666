//! The fault schedule: an explicit list of everything that will go wrong in a run, and the only
//! source of faults. Drawn from the seed, or written by hand.

mod class;
mod damage;
mod draw;
mod moving;
mod outage;
mod pretender;
mod reading;
mod scopes;
mod straggler;

use serde::{Deserialize, Serialize};

pub use self::draw::{draw, draw_sick, forgotten, has_left_behind};
use crate::ids::{NodeId, SimTime};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultUnit {
    pub at: SimTime,
    /// Microseconds until it is undone: until the server is started again, the link heals ..
    pub length: u64,
    pub kind: FaultKind,
    pub scope: Scope,
}

/// A machine on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    Server(u64),
    Client(u32),
}

/// Whom it hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Servers(Vec<u64>),
    /// Whoever leads when the fault strikes; nobody where nobody does.
    Leader,
    /// All servers but whoever leads when the fault strikes; nobody where nobody does.
    Others,
    /// What goes from any of these to any of those.
    Between {
        from: Vec<Peer>,
        to: Vec<Peer>,
    },
}

impl Scope {
    /// Whether it names this machine, or may come to mean it.
    pub fn may_hit(&self, node: NodeId) -> bool {
        let is = |peer: &Peer| match (*peer, node) {
            (Peer::Server(id), NodeId::Server(server)) => id == server.0,
            (Peer::Client(id), NodeId::Client(client)) => id == client.0,
            (Peer::Server(_) | Peer::Client(_), _) => false,
        };
        match self {
            Self::Servers(ids) => ids.iter().any(|&id| is(&Peer::Server(id))),
            Self::Leader | Self::Others => matches!(node, NodeId::Server(_)),
            Self::Between { from, to } => from.iter().chain(to).any(is),
        }
    }
}

/// What goes wrong. docs/debugging.md says what each kind models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FaultKind {
    /// kill -9: the page cache survives.
    Crash,
    /// All servers of the scope lose power at once.
    PowerLoss,
    /// Dies just before, or just after, the n-th disk operation has taken effect.
    CrashAtBoundary {
        nth: u32,
        after: bool,
        power: bool,
        counts: Counted,
        #[serde(default)]
        since: Since,
    },
    /// Strikes a server of the scope between two sends: before the one that carries the n-th packet of this
    /// kind that any of them sends from then on, or right behind it, for the length of the unit. Some have got
    /// what a broadcast says, others never will.
    AtPacket {
        packet: PacketKind,
        nth: u32,
        after: bool,
        deed: Deed,
    },
    /// The operator stops the server in order.
    Stop,
    /// A long stop of the world: garbage collection, SIGSTOP, a migrating machine.
    Pause,
    /// Everything that the process does takes so many times as long.
    SlowCpu {
        factor: u32,
    },
    /// Nothing passes, new connections neither.
    Partition {
        one_way: bool,
    },
    /// The server is cut off from all other servers; `Some(true)`: it still hears them.
    Isolate {
        one_way: Option<bool>,
    },
    /// Each server reaches only those named before and behind it; the last one is next to the first.
    Ring,
    /// A partition that comes and goes.
    Flap {
        cut_ms: u32,
        whole_ms: u32,
    },
    /// New connections fail; standing ones are not touched.
    BlockDials {
        refused: bool,
    },
    /// Standing connections deliver nothing for a while.
    StallLink,
    /// Standing connections end for both sides, by RST.
    ResetLinks,
    /// Standing connections end for both sides, by FIN; what is on its way is lost.
    FinishLinks,
    /// Standing connections become black holes.
    HalfOpen,
    /// Everything takes so much longer on the way, and up to `jitter_ms` more.
    SlowLink {
        add_ms: u32,
        jitter_ms: u32,
    },
    /// A narrow path: senders meet back pressure.
    Throttle {
        bytes_per_ms: u32,
    },
    /// A connection carries nothing from the first packet of this kind on.
    DelayPacket {
        packet: PacketKind,
    },
    /// A connection ends so many bytes behind the beginning of a packet of this kind: what came before
    /// arrives, nothing else does.
    TearPacket {
        packet: PacketKind,
        after_bytes: u32,
    },
    /// Somebody connects to the ports of a server and says nothing.
    StrayLinks {
        count: u32,
    },
    DiskFull,
    FsyncSlow,
    /// Every operation takes so many times as long.
    DiskSlow {
        factor: u32,
    },
    /// Operations are taken, and none completes for a while.
    DiskStall,
    /// The wall clock is set.
    ClockStep {
        ms: i64,
    },
    /// The wall clock stands still, and then goes on from there.
    WallFreeze,
    /// The monotonic clock runs at so many hundredths of its speed.
    SlowMono {
        percent: u32,
    },
    /// The next such operation fails: of a snapshot, or of any file.
    DiskFail {
        sync: bool,
        #[serde(default)]
        snapshot: bool,
    },
    /// A read meets a bad sector, once.
    ReadFail,
    /// One bit of what is durable flips.
    BitRot {
        #[serde(default)]
        place: RotPlace,
        /// The process dies with it, and reads what is left when it comes back.
        #[serde(default)]
        while_down: bool,
    },
    /// The next write to the log lands on older records of the same file, and not in its place.
    Misdirect,
    /// The server comes back with an empty disk.
    Wipe,
}

/// What happens to a server at a packet of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Deed {
    Crash,
    PowerLoss,
    /// It goes on with its next send when it runs again.
    Pause,
    /// It is cut off from all other servers, both ways.
    Isolate,
}

/// Which disk operations a crash at a boundary counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Counted {
    All,
    Syncs,
    /// Syncs of a folder: a name takes effect, that of an epoch file, a snapshot, a new log file.
    Names,
}

/// From when on a crash at a boundary counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Since {
    /// The unit's own time.
    #[default]
    Now,
    /// The server's next synchronization, as leader or learner: between two of its writes.
    Synchronization,
}

/// Which files rot strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RotPlace {
    #[default]
    Log,
    Snapshot,
}

/// A packet between a learner and its leader, by its name in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PacketKind {
    Request,
    Proposal,
    Ack,
    Commit,
    Ping,
    Revalidate,
    Sync,
    Inform,
    NewLeader,
    FollowerInfo,
    UpToDate,
    Diff,
    Trunc,
    Snap,
    ObserverInfo,
    LeaderInfo,
    AckEpoch,
}

impl PacketKind {
    /// With the number on the wire.
    const TABLE: [(Self, i32, &str); 17] = [
        (Self::Request, 1, "REQUEST"),
        (Self::Proposal, 2, "PROPOSAL"),
        (Self::Ack, 3, "ACK"),
        (Self::Commit, 4, "COMMIT"),
        (Self::Ping, 5, "PING"),
        (Self::Revalidate, 6, "REVALIDATE"),
        (Self::Sync, 7, "SYNC"),
        (Self::Inform, 8, "INFORM"),
        (Self::NewLeader, 10, "NEWLEADER"),
        (Self::FollowerInfo, 11, "FOLLOWERINFO"),
        (Self::UpToDate, 12, "UPTODATE"),
        (Self::Diff, 13, "DIFF"),
        (Self::Trunc, 14, "TRUNC"),
        (Self::Snap, 15, "SNAP"),
        (Self::ObserverInfo, 16, "OBSERVERINFO"),
        (Self::LeaderInfo, 17, "LEADERINFO"),
        (Self::AckEpoch, 18, "ACKEPOCH"),
    ];

    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.into_iter().map(|(kind, _, _)| kind)
    }

    pub fn on_wire(number: i32) -> Option<Self> {
        Self::TABLE.into_iter().find(|row| row.1 == number).map(|row| row.0)
    }

    pub fn name(self) -> &'static str {
        let row = Self::TABLE.into_iter().find(|row| row.0 == self);
        row.map_or("", |row| row.2)
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::TABLE.into_iter().find(|row| row.2 == name).map(|row| row.0)
    }
}

impl FaultKind {
    /// Every name that a summary may show.
    pub const NAMES: [&str; 39] = [
        "crash",
        "power_loss",
        "crash_at_boundary",
        "crash_in_sync",
        "stop",
        "pause",
        "slow_cpu",
        "partition",
        "partition_one_way",
        "isolate",
        "ring",
        "flap",
        "dials_refused",
        "dials_dropped",
        "stall_link",
        "reset_links",
        "finish_links",
        "half_open",
        "slow_link",
        "throttle",
        "delay_packet",
        "tear_packet",
        "stray_links",
        "disk_full",
        "fsync_slow",
        "disk_slow",
        "disk_stall",
        "clock_step",
        "wall_freeze",
        "slow_mono",
        "disk_fail",
        "read_fail",
        "bit_rot",
        "snapshot_rot",
        "misdirect",
        "wipe",
        "crash_at_packet",
        "pause_at_packet",
        "isolate_at_packet",
    ];

    /// A short name for summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerLoss => "power_loss",
            Self::CrashAtBoundary { since: Since::Now, .. } => "crash_at_boundary",
            Self::CrashAtBoundary { since: Since::Synchronization, .. } => "crash_in_sync",
            Self::AtPacket { deed: Deed::Crash | Deed::PowerLoss, .. } => "crash_at_packet",
            Self::AtPacket { deed: Deed::Pause, .. } => "pause_at_packet",
            Self::AtPacket { deed: Deed::Isolate, .. } => "isolate_at_packet",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::SlowCpu { .. } => "slow_cpu",
            Self::Partition { one_way: false } => "partition",
            Self::Partition { one_way: true } => "partition_one_way",
            Self::Isolate { .. } => "isolate",
            Self::Ring => "ring",
            Self::Flap { .. } => "flap",
            Self::BlockDials { refused: true } => "dials_refused",
            Self::BlockDials { refused: false } => "dials_dropped",
            Self::StallLink => "stall_link",
            Self::ResetLinks => "reset_links",
            Self::FinishLinks => "finish_links",
            Self::HalfOpen => "half_open",
            Self::SlowLink { .. } => "slow_link",
            Self::Throttle { .. } => "throttle",
            Self::DelayPacket { .. } => "delay_packet",
            Self::TearPacket { .. } => "tear_packet",
            Self::StrayLinks { .. } => "stray_links",
            Self::DiskFull => "disk_full",
            Self::FsyncSlow => "fsync_slow",
            Self::DiskSlow { .. } => "disk_slow",
            Self::DiskStall => "disk_stall",
            Self::ClockStep { .. } => "clock_step",
            Self::WallFreeze => "wall_freeze",
            Self::SlowMono { .. } => "slow_mono",
            Self::DiskFail { .. } => "disk_fail",
            Self::ReadFail => "read_fail",
            Self::BitRot { place: RotPlace::Log, .. } => "bit_rot",
            Self::BitRot { place: RotPlace::Snapshot, .. } => "snapshot_rot",
            Self::Misdirect => "misdirect",
            Self::Wipe => "wipe",
        }
    }

    /// Whether the server of the scope goes down for the length of the unit.
    const fn kills(self) -> bool {
        matches!(
            self,
            Self::Crash
                | Self::PowerLoss
                | Self::CrashAtBoundary { .. }
                | Self::BitRot { while_down: true, .. }
        )
    }

    /// Whether it waits, for its length at most, where it cannot strike at its time: nothing is durable yet that
    /// could rot, or the others cannot bear one more loss.
    pub(crate) const fn waits(self) -> bool {
        self.is_charged()
    }

    /// Whether it asks which packets go over links between servers.
    pub const fn names_packets(self) -> bool {
        matches!(self, Self::DelayPacket { .. } | Self::TearPacket { .. } | Self::AtPacket { .. })
    }

    /// Whether it can destroy what a server has promised to keep, or its disk: charged to the
    /// fault atlas.
    pub const fn is_charged(self) -> bool {
        // A snapshot that cannot be written is none yet.
        matches!(
            self,
            Self::DiskFail { snapshot: false, .. }
                | Self::BitRot { .. }
                | Self::Misdirect
                | Self::Wipe
        )
    }
}

#[cfg(test)]
mod tests {
    use super::PacketKind;

    #[test]
    fn packets_are_found_by_name_and_by_number() {
        for kind in PacketKind::all() {
            assert_eq!(PacketKind::named(kind.name()), Some(kind));
        }
        assert_eq!(PacketKind::on_wire(10), Some(PacketKind::NewLeader));
        assert_eq!(PacketKind::on_wire(9), None);
    }
}
