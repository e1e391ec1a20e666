//! What an event is about. Most statements are about few kinds of facts, and one event in a hundred
//! concerns them: each is called for the topics that it hears, and no others.

use vivarium_core::server::note::Note;

use crate::observe::SimEvent;

/// The kind of an event; the notes of servers by their own kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Topic {
    /// Beside the event's own kind: it committed something.
    Fresh,
    Cluster,
    Boot,
    Up,
    Crash,
    Exit,
    Paused,
    Resumed,
    Durable,
    LogDone,
    BatchOutgrown,
    DiskFailed,
    ReadFailed,
    Shadow,
    Objection,
    Word,
    HistoryLost,
    Client,
    ApacheSnap,
    FuzzyFile,
    HalfOpen,
    Faults,
    QuorumLost,
    Healed,
    Traffic,
    AtRest,
    PhaseEntered,
    Elected,
    EpochAccepted,
    EpochEntered,
    Established,
    Promised,
    Proposed,
    Logged,
    AckedTxn,
    AckedNewLeader,
    Committed,
    Applied,
    Truncated,
    Uncuttable,
    Disowned,
    SnapInstalled,
    SnapshotSealed,
    Serving,
    ServingReadOnly,
    Recovered,
    MovedAside,
    SessionOpened,
    SessionClosed,
    SessionExpired,
    SessionTouched,
    LocalSession,
    SessionAttached,
    WatchFired,
    SyncChosen,
    /// For operators alone: no statement is about it.
    Operating,
}

impl Topic {
    pub(crate) const COUNT: usize = Self::Operating as usize + 1;

    pub(crate) fn of(event: &SimEvent) -> Self {
        match event {
            SimEvent::Cluster { .. } => Self::Cluster,
            SimEvent::Boot { .. } => Self::Boot,
            SimEvent::Up { .. } => Self::Up,
            SimEvent::Crash(_) => Self::Crash,
            SimEvent::Exit(_) => Self::Exit,
            SimEvent::Paused => Self::Paused,
            SimEvent::Resumed => Self::Resumed,
            SimEvent::Note(note) => Self::of_note(note),
            SimEvent::Durable(_) => Self::Durable,
            SimEvent::LogDone => Self::LogDone,
            SimEvent::BatchOutgrown { .. } => Self::BatchOutgrown,
            SimEvent::DiskFailed { .. } => Self::DiskFailed,
            SimEvent::ReadFailed => Self::ReadFailed,
            SimEvent::Shadow(_) => Self::Shadow,
            SimEvent::Objection { .. } => Self::Objection,
            SimEvent::Word { .. } => Self::Word,
            SimEvent::HistoryLost(_) => Self::HistoryLost,
            SimEvent::Client(_) => Self::Client,
            SimEvent::ApacheSnap { .. } => Self::ApacheSnap,
            SimEvent::FuzzyFile { .. } => Self::FuzzyFile,
            SimEvent::HalfOpen { .. } => Self::HalfOpen,
            SimEvent::Faults { .. } => Self::Faults,
            SimEvent::QuorumLost { .. } => Self::QuorumLost,
            SimEvent::Healed { .. } => Self::Healed,
            SimEvent::Traffic { .. } => Self::Traffic,
            SimEvent::AtRest(_) => Self::AtRest,
        }
    }

    fn of_note(note: &Note) -> Self {
        match note {
            Note::PhaseEntered { .. } => Self::PhaseEntered,
            Note::Elected { .. } => Self::Elected,
            Note::EpochAccepted { .. } => Self::EpochAccepted,
            Note::EpochEntered { .. } => Self::EpochEntered,
            Note::Established { .. } => Self::Established,
            Note::Promised { .. } => Self::Promised,
            Note::Proposed { .. } => Self::Proposed,
            Note::Logged { .. } => Self::Logged,
            Note::AckedTxn { .. } => Self::AckedTxn,
            Note::AckedNewLeader { .. } => Self::AckedNewLeader,
            Note::Committed { .. } => Self::Committed,
            Note::Applied { .. } => Self::Applied,
            Note::Truncated { .. } => Self::Truncated,
            Note::Uncuttable { .. } => Self::Uncuttable,
            Note::Disowned { .. } => Self::Disowned,
            Note::SnapInstalled { .. } => Self::SnapInstalled,
            Note::SnapshotSealed { .. } => Self::SnapshotSealed,
            Note::Serving { .. } => Self::Serving,
            Note::ServingReadOnly { .. } => Self::ServingReadOnly,
            Note::Recovered { .. } => Self::Recovered,
            Note::MovedAside => Self::MovedAside,
            Note::SessionOpened { .. } => Self::SessionOpened,
            Note::SessionClosed { .. } => Self::SessionClosed,
            Note::SessionExpired { .. } => Self::SessionExpired,
            Note::SessionTouched { .. } => Self::SessionTouched,
            Note::LocalSession { .. } => Self::LocalSession,
            Note::SessionAttached { .. } => Self::SessionAttached,
            Note::WatchFired { .. } => Self::WatchFired,
            Note::SyncChosen { .. } => Self::SyncChosen,
            Note::PeerUnreachable { .. }
            | Note::PeerReachable { .. }
            | Note::FirstStartWaits { .. }
            | Note::QuotaExceeded(_)
            | Note::Reloaded(_)
            | Note::Halting { .. } => Self::Operating,
        }
    }
}

/// A set of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Topics(u64);

impl Topics {
    #[cfg(test)]
    pub(crate) const ALL: Self = Self(u64::MAX);

    pub(crate) const fn of(topics: &[Topic]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < topics.len() {
            bits |= 1 << topics[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// By the number of the topic.
    pub(crate) const fn has(self, topic: usize) -> bool {
        self.0 >> topic & 1 != 0
    }
}
