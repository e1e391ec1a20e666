//! Access control lists as they are carried and stored.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Who: an authentication scheme and an identity within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    pub scheme: String,
    pub id: String,
}

/// One entry: permission bits (READ 1, WRITE 2, CREATE 4, DELETE 8, ADMIN 16) for one identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    pub perms: i32,
    pub id: Id,
}

pub const PERM_READ: i32 = 1;
pub const PERM_WRITE: i32 = 2;
pub const PERM_CREATE: i32 = 4;
pub const PERM_DELETE: i32 = 8;
pub const PERM_ADMIN: i32 = 16;
pub const PERM_ALL: i32 = 31;

impl Acl {
    pub fn world(perms: i32) -> Self {
        Self { perms, id: Id { scheme: "world".into(), id: "anyone".into() } }
    }

    /// `world:anyone` with every permission. Apache: `ZooDefs.Ids.OPEN_ACL_UNSAFE`.
    pub fn open() -> Vec<Self> {
        vec![Self::world(PERM_ALL)]
    }
}
