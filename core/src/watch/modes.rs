//! How a path is watched. Apache: `WatcherMode`, `WatchStats`.

/// One way of watching a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchMode {
    /// One event of the node itself, set by `getData` and `exists`.
    Data,
    /// One event of the node's list of children, set by `getChildren`.
    Child,
    /// Every event of both kinds.
    Persistent,
    /// Every event of the node and of all below it, lists of children aside.
    Recursive,
}

/// Which table of Apache's a watch would lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchTable {
    Data,
    Child,
}

/// All ways in which one link watches one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modes(u8);

impl Modes {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(0b1111);
    pub(super) const RECURSIVE: Self = Self::of(WatchMode::Recursive);
    const ONE_SHOT: Self = Self::of(WatchMode::Data).with(Self::of(WatchMode::Child));

    pub(super) const fn of(mode: WatchMode) -> Self {
        Self(match mode {
            WatchMode::Data => 0b0001,
            WatchMode::Child => 0b0010,
            WatchMode::Persistent => 0b0100,
            WatchMode::Recursive => 0b1000,
        })
    }

    /// Those that lie in a table.
    pub(super) const fn in_table(table: WatchTable) -> Self {
        let persistent = Self::of(WatchMode::Persistent);
        match table {
            WatchTable::Data => Self::of(WatchMode::Data).with(persistent).with(Self::RECURSIVE),
            WatchTable::Child => Self::of(WatchMode::Child).with(persistent),
        }
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is left when those in `hit` have been told of something.
    pub(super) const fn after(self, hit: Self) -> Self {
        Self(self.0 & !(hit.0 & Self::ONE_SHOT.0))
    }

    /// Entries that Apache would have for them: one a table.
    pub(super) fn entries(self) -> usize {
        let held = |table| usize::from(self.meets(Self::in_table(table)));
        held(WatchTable::Data) + held(WatchTable::Child)
    }
}
