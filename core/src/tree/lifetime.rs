//! What ends a node's life without a client's delete: read from the stored owner field.
//! Apache: `EphemeralType`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::ops::Bound;

use crate::ids::SessionId;

const CONTAINER_OWNER: i64 = i64::MIN;
/// High byte 0xff, feature bits (40 to 55) zero: a TTL in the low 40 bits.
const TTL_FLAG: u64 = 0xff << 56;
const TTL_MAX: u64 = (1 << 40) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    Persistent,
    Ephemeral(SessionId),
    Container,
    Ttl { ms: i64 },
}

impl Lifetime {
    /// Reads a stored `ephemeralOwner`. The owner alone decides, so that every server, with or
    /// without extendedTypesEnabled, holds the same tree after the same transactions.
    pub fn of(owner: i64) -> Self {
        if owner == 0 {
            return Self::Persistent;
        }
        if owner == CONTAINER_OWNER {
            return Self::Container;
        }
        let ttl = (owner as u64) ^ TTL_FLAG;
        if ttl <= TTL_MAX {
            Self::Ttl { ms: ttl as i64 }
        } else {
            Self::Ephemeral(SessionId(owner))
        }
    }

    /// The owner field; `None` for a TTL that it cannot hold (1 to 2^40 - 1 ms).
    pub fn owner(self) -> Option<i64> {
        match self {
            Self::Persistent => Some(0),
            Self::Ephemeral(session) => Some(session.0),
            Self::Container => Some(CONTAINER_OWNER),
            Self::Ttl { ms } => {
                let ttl = u64::try_from(ms).ok().filter(|ttl| (1..=TTL_MAX).contains(ttl))?;
                Some((TTL_FLAG | ttl) as i64)
            }
        }
    }
}

/// Which paths end with a session, with their last child, or with time.
#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    pub(super) ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
    pub(super) containers: BTreeSet<String>,
    pub(super) ttls: BTreeSet<String>,
}

impl Lifetimes {
    pub(super) fn next_mortal(&self, path: &str) -> Option<&str> {
        let behind = (Bound::Excluded(path), Bound::Unbounded);
        let firsts =
            [&self.containers, &self.ttls].map(|paths| paths.range::<str, _>(behind).next());
        firsts.into_iter().flatten().min().map(String::as_str)
    }

    pub(super) fn insert(&mut self, path: &str, lifetime: Lifetime) {
        match lifetime {
            Lifetime::Persistent => return,
            Lifetime::Ephemeral(session) => {
                self.ephemerals.entry(session).or_default().insert(path.into())
            }
            Lifetime::Container => self.containers.insert(path.into()),
            Lifetime::Ttl { .. } => self.ttls.insert(path.into()),
        };
    }

    pub(super) fn remove(&mut self, path: &str, lifetime: Lifetime) {
        match lifetime {
            Lifetime::Persistent => {}
            Lifetime::Ephemeral(session) => {
                if let Some(paths) = self.ephemerals.get_mut(&session) {
                    paths.remove(path);
                    if paths.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
            Lifetime::Container => {
                self.containers.remove(path);
            }
            Lifetime::Ttl { .. } => {
                self.ttls.remove(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_round_trip() {
        for lifetime in [
            Lifetime::Persistent,
            Lifetime::Ephemeral(SessionId(0x0100_001b_c8ba_0000)),
            Lifetime::Ephemeral(SessionId(-2)),
            Lifetime::Container,
            Lifetime::Ttl { ms: 1 },
            Lifetime::Ttl { ms: TTL_MAX as i64 },
        ] {
            assert_eq!(Lifetime::of(lifetime.owner().unwrap()), lifetime);
        }
        assert_eq!(Lifetime::Ttl { ms: 60_000 }.owner(), Some(0xff00_0000_0000_ea60_u64 as i64));
        for ms in [0, -1, i64::MIN, TTL_MAX as i64 + 1] {
            assert_eq!(Lifetime::Ttl { ms }.owner(), None, "{ms}");
        }
    }
}
