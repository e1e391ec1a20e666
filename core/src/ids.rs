//! Identifiers. Each is a newtype: a zxid is never added to a session id by accident.

use core::fmt;

/// The number of a leader's reign. Paper: `e`. Apache: `acceptedEpoch`, `currentEpoch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    pub const ZERO: Self = Self(0);
    /// Behind it zxids would be negative, which every format takes for none.
    pub const MAX: Self = Self(i32::MAX as u32);

    /// The epoch that a new leader proposes after it has seen `self` as the highest.
    pub fn next(self) -> Option<Self> {
        (self < Self::MAX).then(|| Self(self.0 + 1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A transaction's place in the total order: epoch in the high 32 bits, counter in the low ones.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub u64);

impl Zxid {
    pub const ZERO: Self = Self(0);

    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        Self(((epoch.0 as u64) << 32) | counter as u64)
    }

    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The next zxid of the same epoch; `None` where the counter is exhausted (trap T40).
    pub fn next(self) -> Option<Self> {
        self.counter().checked_add(1).map(|counter| Self::new(self.epoch(), counter))
    }

    /// A bound of all that comes before: in front of the first transaction of an epoch the start of that
    /// epoch, which is no transaction.
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whether this names the start of an epoch rather than a transaction.
    pub const fn is_epoch_start(self) -> bool {
        self.counter() == 0
    }

    /// The signed form that every wire and disk format uses.
    pub const fn to_wire(self) -> i64 {
        self.0 as i64
    }

    /// `None` for negative values: peers write -1 where there is no zxid.
    pub const fn from_wire(raw: i64) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw as u64)) }
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch().0, self.counter())
    }
}

/// `myid`: a server's number in the ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A client session. Its high byte is the server that made it. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl SessionId {
    /// Whether this server made it, as far as the byte tells.
    pub fn is_of(self, server: ServerId) -> bool {
        (self.0 as u64) >> 56 == server.0 & 0xff
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

macro_rules! counter_ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

counter_ids! {
    /// One incarnation of a connection, numbered by the host and never used again.
    LinkId
    /// One attempt to connect, numbered by core.
    DialId
    /// One write-like disk operation; ids rise within a queue and complete by prefix.
    OpId
    /// One read or listing; reads complete in any order.
    ReadId
    /// One question of an operator.
    AskId
}

/// Hands out the numbers of attempts to connect; one counter for every plane of a server.
#[derive(Clone, Debug, Default)]
pub struct DialIds {
    last: u64,
}

impl DialIds {
    pub fn fresh(&mut self) -> DialId {
        self.last += 1;
        DialId(self.last)
    }
}

/// A client's request number within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub i32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_fits_into_a_zxid_of_the_wire() {
        let before = Epoch(Epoch::MAX.0 - 1);
        assert_eq!((before.next(), Epoch::MAX.next()), (Some(Epoch::MAX), None));
        let last = Zxid::new(Epoch::MAX, u32::MAX);
        assert_eq!(Zxid::from_wire(last.to_wire()), Some(last));
    }
}
