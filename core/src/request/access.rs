//! Whether an ACL lets a client do something (PROTOCOL 2.2). Apache: `ZooKeeperServer.checkACL`.

use crate::acl::{Acl, Id};

pub const ADMIN: i32 = 16;

/// True if one entry grants one of the `perms` bits to everyone or to one of `ids`.
/// An empty list grants everything.
pub fn permits(acl: &[Acl], perms: i32, ids: &[Id]) -> bool {
    acl.is_empty()
        || acl.iter().any(|entry| {
            entry.perms & perms != 0
                && (entry.id.scheme == "world" && entry.id.id == "anyone"
                    || ids.contains(&entry.id))
        })
}
