//! Nodes that go by themselves: containers whose last child is gone, and nodes whose time is up.
//! Facts: PROTOCOL 2.5. Apache: `ContainerManager`, `PrepRequestProcessor`, case `deleteContainer`.

use super::pending::PendingNode;
use super::prepare::{Preparation, parent_of_unchecked};
use crate::time::{Span, Wall};
use crate::tree::{Lifetime, is_special};
use crate::txn::Txn;
use crate::wire::code::Code;

impl Preparation<'_> {
    /// The leader's own: no session stands behind it, and no access list in its way.
    pub(super) fn delete_container(&mut self, path: &str) -> Result<Txn, Code> {
        parent_of_unchecked(path)?;
        if is_special(path) {
            return Err(Code::BadArguments);
        }
        outlived(&self.existing(path)?, self.now, self.never_used)?;
        self.remove(path);
        Ok(Txn::DeleteContainer { path: path.into() })
    }
}

/// Why a node has to stay, if so. Its age counts from when its data was last set, by the wall clock of
/// the leader that decides; that its children changed does not make it younger.
pub(super) fn outlived(node: &PendingNode, now: Wall, never_used: Span) -> Result<(), Code> {
    if node.children > 0 {
        return Err(Code::NotEmpty);
    }
    let age_ms = now.0.saturating_sub(node.stat.mtime);
    let is_older = |limit_ms: u64| u64::try_from(age_ms).is_ok_and(|age_ms| age_ms > limit_ms);
    let over = match Lifetime::of(node.stat.ephemeral_owner) {
        Lifetime::Persistent | Lifetime::Ephemeral(_) => false,
        Lifetime::Container => {
            let limit_ms = never_used.as_ms();
            node.stat.cversion > 0 || (limit_ms > 0 && is_older(limit_ms))
        }
        // Clients cannot ask for a TTL of 0; what a log or a snapshot holds stays.
        Lifetime::Ttl { ms } => ms > 0 && is_older(ms.unsigned_abs()),
    };
    if over { Ok(()) } else { Err(Code::BadVersion) }
}
