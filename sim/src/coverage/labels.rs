//! The words that marks are put together from.

use vivarium_core::server::note::{Phase, SyncKind};
use vivarium_core::wire::client::EventKind;

/// An enum without fields whose variants have a name for people, and can be counted off.
macro_rules! labels {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];
            pub(crate) const COUNT: usize = Self::ALL.len();

            pub(crate) const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),* }
            }
        }
    };
}

labels! {
    /// What a server is doing.
    Part {
        Recovering = "in recovery",
        Looking = "looking",
        LeadingDiscovery = "leading, discovery",
        LeadingSynchronization = "leading, synchronization",
        LeadingBroadcast = "leading, broadcast",
        FollowingDiscovery = "following, discovery",
        FollowingSynchronization = "following, synchronization",
        FollowingBroadcast = "following, broadcast",
        ObservingDiscovery = "observing, discovery",
        ObservingSynchronization = "observing, synchronization",
        ObservingBroadcast = "observing, broadcast",
        Standalone = "standalone",
    }
}

impl Part {
    /// `None`: it is on its way out.
    pub(crate) const fn of(phase: Phase) -> Option<Self> {
        Some(match phase {
            Phase::Looking => Self::Looking,
            Phase::LeadingDiscovery => Self::LeadingDiscovery,
            Phase::LeadingSynchronization => Self::LeadingSynchronization,
            Phase::LeadingBroadcast => Self::LeadingBroadcast,
            Phase::FollowingDiscovery => Self::FollowingDiscovery,
            Phase::FollowingSynchronization => Self::FollowingSynchronization,
            Phase::FollowingBroadcast => Self::FollowingBroadcast,
            Phase::ObservingDiscovery => Self::ObservingDiscovery,
            Phase::ObservingSynchronization => Self::ObservingSynchronization,
            Phase::ObservingBroadcast => Self::ObservingBroadcast,
            Phase::Standalone => Self::Standalone,
            Phase::Halted => return None,
        })
    }

    pub(crate) const fn leads(self) -> bool {
        matches!(
            self,
            Self::LeadingDiscovery | Self::LeadingSynchronization | Self::LeadingBroadcast
        )
    }

    /// In step with a leader, as its learner.
    pub(crate) const fn is_in_step(self) -> bool {
        matches!(self, Self::FollowingBroadcast | Self::ObservingBroadcast)
    }

    /// Whether clients are served.
    pub(crate) const fn serves(self) -> bool {
        self.is_in_step() || matches!(self, Self::LeadingBroadcast | Self::Standalone)
    }
}

labels! {
    /// What hits one server.
    Blow {
        Crash = "process dies",
        PowerLoss = "power goes",
        Pause = "paused",
        CutOff = "cut off",
        LinksReset = "links reset",
        DiskError = "disk error",
        Stop = "stopped in order",
    }
}

labels! {
    /// How a crash takes a server.
    Death {
        Process = "process dies",
        Power = "power goes",
    }
}

labels! {
    /// What a crash finds between two of the steps that make it durable.
    Pending {
        LogBytes = "log written and not synced",
        LogName = "log file created and its name not durable",
        LogCut = "log cut and not synced",
        AcceptedBytes = "acceptedEpoch written and not synced",
        AcceptedName = "acceptedEpoch renamed and its name not durable",
        CurrentBytes = "currentEpoch written and not synced",
        CurrentName = "currentEpoch renamed and its name not durable",
        SnapshotBytes = "snapshot written and not synced",
        SnapshotName = "snapshot renamed and its name not durable",
        Removal = "file removed and that not durable",
    }
}

labels! {
    /// What became durable last.
    Kept {
        Log = "log",
        Snapshot = "snapshot",
        AcceptedEpoch = "acceptedEpoch",
        CurrentEpoch = "currentEpoch",
        Removal = "removal of history",
    }
}

labels! {
    /// How a learner gets its history.
    Means {
        DiffWindow = "DIFF from memory",
        DiffDisk = "DIFF from disk",
        Trunc = "TRUNC",
        Snap = "SNAP",
    }
}

impl Means {
    pub(crate) const fn of(how: SyncKind) -> Self {
        match how {
            SyncKind::DiffWindow => Self::DiffWindow,
            SyncKind::DiffDisk => Self::DiffDisk,
            SyncKind::Trunc => Self::Trunc,
            SyncKind::Snap => Self::Snap,
        }
    }
}

labels! {
    /// What becomes of a synchronization.
    Course {
        Done = "done",
        LearnerDies = "the learner's process dies",
        LearnerLosesPower = "the learner loses power",
        LearnerPaused = "the learner is paused",
        LearnerDiskError = "the learner's disk fails",
        LearnerCutOff = "the learner is cut off",
        LearnerGivesUp = "the learner gives it up",
        LeaderDies = "the leader dies",
        LeaderPaused = "the leader is paused",
    }
}

labels! {
    /// How far a synchronization has come, at the learner.
    Stage {
        Offered = "nothing taken yet",
        Taking = "history on its way",
        EpochEntered = "currentEpoch written",
        Acknowledged = "NEWLEADER acknowledged",
    }
}

labels! {
    /// What happens to files.
    Storage {
        SnapshotSealed = "snapshot sealed",
        LogRolled = "log rolled",
        Purged = "history purged",
    }
}

labels! {
    /// What a client asks for.
    Asked {
        Create = "create",
        CreateSequential = "create sequential",
        CreateEphemeral = "create ephemeral",
        CreateContainer = "create container",
        CreateTtl = "create with a TTL",
        Delete = "delete",
        SetData = "setData",
        Multi = "multi",
        Exists = "exists",
        GetData = "getData",
        GetChildren = "getChildren",
        MultiRead = "multiRead",
        GetEphemerals = "getEphemerals",
        CountAll = "getAllChildrenNumber",
        Sync = "sync",
        AddAuth = "addAuth",
        GetAcl = "getACL",
        SetAcl = "setACL",
        WhoAmI = "whoAmI",
        Reconfig = "reconfig",
        AddWatch = "addWatch",
        CheckWatches = "checkWatches",
        RemoveWatches = "removeWatches",
        SetWatches = "setWatches",
        CloseSession = "closeSession",
        UnknownOp = "unknown operation",
        Malformed = "malformed body",
    }
}

labels! {
    Answer {
        Done = "ok",
        NoNode = "no node",
        NodeExists = "node exists",
        BadVersion = "bad version",
        NotEmpty = "not empty",
        NoChildren = "no children for ephemerals",
        NoWatcher = "no watcher",
        NoAuth = "no permission",
        InvalidAcl = "invalid access list",
        QuotaExceeded = "quota exceeded",
        AuthFailed = "authentication failed",
        ReconfigDisabled = "reconfig is switched off",
        Unimplemented = "unimplemented",
        Marshalling = "marshalling error",
        Lost = "lost with its connection",
    }
}

impl Answer {
    pub(crate) const fn of(code: i32) -> Option<Self> {
        Some(match code {
            -101 => Self::NoNode,
            -110 => Self::NodeExists,
            -103 => Self::BadVersion,
            -111 => Self::NotEmpty,
            -108 => Self::NoChildren,
            -121 => Self::NoWatcher,
            -102 => Self::NoAuth,
            -114 => Self::InvalidAcl,
            -125 => Self::QuotaExceeded,
            -115 => Self::AuthFailed,
            -123 => Self::ReconfigDisabled,
            -6 => Self::Unimplemented,
            -5 => Self::Marshalling,
            _ => return None,
        })
    }
}

labels! {
    /// Requests that are served alike.
    Class {
        Read = "read",
        Write = "write",
        Sync = "sync",
    }
}

labels! {
    Event {
        Created = "created",
        Deleted = "deleted",
        DataChanged = "data changed",
        ChildrenChanged = "children changed",
    }
}

impl Event {
    pub(crate) const fn of(kind: EventKind) -> Self {
        match kind {
            EventKind::NodeCreated => Self::Created,
            EventKind::NodeDeleted => Self::Deleted,
            EventKind::NodeDataChanged => Self::DataChanged,
            EventKind::NodeChildrenChanged => Self::ChildrenChanged,
        }
    }
}

labels! {
    /// What stands for itself.
    Moment {
        OneVoter = "an ensemble of one voter",
        TwoVoters = "two voters",
        ThreeVoters = "three voters",
        FourVoters = "four voters",
        FiveVoters = "five voters",
        SixVoters = "six voters",
        SevenVoters = "seven voters",
        Observers = "an ensemble with observers",
        FirstStartWaits = "a first start waits for another voter",
        AllDown = "all servers are down",
        NoQuorum = "a quorum of voters is down",
        QuorumLosesPower = "a quorum of voters loses power at one moment",
        BareQuorumElects = "a leader is established with no voter to spare",
        TwoLeaders = "two servers lead in broadcast",
        LeadFailsInDiscovery = "a leader gives up in discovery",
        LeadFailsInSync = "a leader gives up in synchronization",
        LeaderStepsDown = "a leader that served steps down",
        FollowerLeaves = "a follower leaves a leader that leads on",
        SameLeaderAgain = "a server leads two epochs in a row",
        LowerServerLeads = "a server leads whose id is not the highest",
        EpochSkipped = "an epoch is established behind one that never was",
        LeaderDiesProposing = "a leader dies with a proposal that is not committed",
        OldProposalCommitted = "a new leader commits what an older one proposed",
        HistoryCut = "a TRUNC takes a proposal back",
        Uncuttable = "a TRUNC goes below every snapshot",
        HistoryDisowned = "a SNAP takes the place of more than it holds",
        BlankPeer = "a leader is established while a voter is blank",
        ZxidLimit = "the counter of zxids reaches its limit",
        PausedPastSession = "a leader is paused for longer than the shortest session",
        PausedPastAllSessions = "a leader is paused for longer than the longest session",
        PausedPastSync = "a follower is paused for longer than syncLimit",
        ReplacedWhilePaused = "a leader is replaced while it is paused",
        DeposedAnswers = "a client gets a read from a leader that was replaced",
        LeaderHearsOnly = "a leader is cut off and still hears the others",
        LeaderSpeaksOnly = "a leader is cut off and is still heard",
        LeaderClockSteps = "the wall clock of a leader is set",
        TriedAgain = "recovery is cut short twice in a row",
        RecoveredFromSnapshot = "recovery from a snapshot",
        RecoveredFromLog = "recovery from logs alone",
        RecoveredBlank = "recovery finds nothing usable where there was something",
        RecoveredTail = "recovery finds proposals that are not committed",
        HistoryAhead = "recovery finds a history ahead of currentEpoch",
        AcceptedAhead = "power goes while acceptedEpoch is ahead of currentEpoch",
        TornTail = "recovery cuts the log",
        MovedAside = "recovery moves damaged files aside",
        RestartTruncated = "a server restarts behind a TRUNC",
        RestartSnapIncomplete = "a server restarts behind a SNAP that broke off",
        RestartLogUnreadable = "a server restarts as its log cannot be read",
        DiesOfDisk = "a server ends itself as its disk fails",
        LogFull = "the log finds the disk full",
        LogFails = "an operation on the log fails",
        SnapshotFull = "a snapshot finds the disk full",
        SnapshotFails = "an operation on a snapshot fails",
        ReadFails = "a read fails while the server runs",
        RecoveryFull = "recovery finds the disk full",
        RecoveryFails = "an operation of recovery fails",
        PeerRefuses = "another server refuses connections",
        PeerSilent = "another server does not answer",
        SessionOpened = "a session is opened",
        SessionKept = "a session is taken up again at its server",
        SessionRestarted = "a session is taken up at its server, which has restarted",
        SessionMoved = "a session moves to another server",
        SessionOutlivesLeader = "a session is taken up under a new leader",
        MissedShown = "a client that sets its watches again is told what nodes still show",
        MissedReplayed = "a client that sets its watches again is told what happened",
        NodeOutlived = "a leader deletes a node that has outlived its purpose",
        SessionOver = "a client hears that its session is over",
        SessionReadsOnly = "a client gets a session of a server without a quorum",
        LocalUpgraded = "a local session is to be global",
        LocalExpired = "a local session expires",
        WrongPassword = "a session is asked for with a wrong password",
        ClientAhead = "a client claims to have seen what nobody has",
        SessionExpired = "a leader expires a session",
        ExpiredSoon = "a leader expires a session within one timeout of its start",
        ClientSilent = "a client falls silent",
        ClientLeaves = "a client gives its session up",
        MinorityStaysDead = "servers stay dead when faults end",
        AllHealed = "all servers are back when faults end",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_word_stands_for_two_things() {
        let differ =
            |labels: Vec<&str>| labels.iter().collect::<BTreeSet<_>>().len() == labels.len();
        assert!(differ(Moment::ALL.iter().map(|moment| moment.label()).collect()));
        assert!(differ(Pending::ALL.iter().map(|pending| pending.label()).collect()));
        assert!(differ(Part::ALL.iter().map(|part| part.label()).collect()));
    }
}
