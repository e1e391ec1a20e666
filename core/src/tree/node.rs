//! One znode and its Stat in both forms. Apache: `DataNode`, `StatPersisted`.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

use super::digest::NodeDigest;
use super::lifetime::Lifetime;
use crate::wire::client::Stat;
use crate::wire::code::Code;

/// Stat as it is stored and written to snapshots: 60 bytes, `cversion` counts creates (T15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredStat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub pzxid: i64,
}

impl StoredStat {
    /// In the order of `StatPersisted`, big endian.
    pub fn to_bytes(&self) -> [u8; 60] {
        let mut bytes = [0; 60];
        let mut rest = &mut bytes[..];
        for long in [self.czxid, self.mzxid, self.ctime, self.mtime] {
            rest.put_i64(long);
        }
        for int in [self.version, self.cversion, self.aversion] {
            rest.put_i32(int);
        }
        rest.put_i64(self.ephemeral_owner);
        rest.put_i64(self.pzxid);
        bytes
    }

    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(&self.to_bytes());
    }

    /// Client form. Containers and TTL nodes show no owner (T14).
    pub fn to_client(&self, data_length: usize, num_children: usize) -> Stat {
        let ephemeral_owner = match Lifetime::of(self.ephemeral_owner) {
            Lifetime::Ephemeral(session) => session.0,
            Lifetime::Persistent | Lifetime::Container | Lifetime::Ttl { .. } => 0,
        };
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children as i32),
            aversion: self.aversion,
            ephemeral_owner,
            data_length: data_length as i32,
            num_children: num_children as i32,
            pzxid: self.pzxid,
        }
    }
}

/// One node as readers see it.
#[derive(Debug)]
pub struct Node {
    pub data: Option<Bytes>,
    pub stat: StoredStat,
    pub(super) acl: i64,
    pub(super) children: BTreeSet<Box<str>>,
    /// What this node counts in the digests of the tree; kept so that a change need not hash twice.
    pub(super) digest: NodeDigest,
}

impl Node {
    pub(super) fn new(data: Option<Bytes>, acl: i64, stat: StoredStat) -> Self {
        Self { data, stat, acl, children: BTreeSet::new(), digest: NodeDigest::default() }
    }

    /// 0 for null data.
    pub fn data_length(&self) -> usize {
        self.data.as_ref().map_or(0, Bytes::len)
    }

    pub fn num_children(&self) -> usize {
        self.children.len()
    }

    /// Names in byte order.
    pub fn child_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.children.iter().map(|name| &**name)
    }

    /// Number in the ACL table; -1 is the null list.
    pub fn acl_id(&self) -> i64 {
        self.acl
    }

    pub fn lifetime(&self) -> Lifetime {
        Lifetime::of(self.stat.ephemeral_owner)
    }

    pub fn client_stat(&self) -> Stat {
        self.stat.to_client(self.data_length(), self.num_children())
    }
}

/// Parent and name of a path that may become a node. Checks only what the tree's own shape rests
/// on; the alphabet of names is the business of whoever makes transactions.
pub(super) fn split(path: &str) -> Result<(&str, &str), Code> {
    let last = path.rfind('/').filter(|_| path.starts_with('/')).ok_or(Code::BadArguments)?;
    let (parent, name) = (&path[..last], &path[last + 1..]);
    if name.is_empty() || parent == "/" {
        return Err(Code::BadArguments);
    }
    Ok((if parent.is_empty() { "/" } else { parent }, name))
}

/// The path of a child.
pub(super) fn join(parent: &str, name: &str) -> alloc::string::String {
    let root = if parent == "/" { "" } else { parent };
    alloc::format!("{root}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_into_parent_and_name() {
        for (path, want) in [
            ("/a", Ok(("/", "a"))),
            ("/a/b", Ok(("/a", "b"))),
            ("/a//b", Ok(("/a/", "b"))),
            ("//b", Err(Code::BadArguments)),
            ("/", Err(Code::BadArguments)),
            ("//", Err(Code::BadArguments)),
            ("", Err(Code::BadArguments)),
            ("a", Err(Code::BadArguments)),
            ("a/b", Err(Code::BadArguments)),
            ("/a/", Err(Code::BadArguments)),
        ] {
            assert_eq!(split(path), want, "{path}");
        }
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/a", "b"), "/a/b");
    }

    #[test]
    fn clients_see_creates_and_deletes_in_cversion() {
        let stat = StoredStat { cversion: 3, ..StoredStat::default() };
        assert_eq!(stat.to_client(1, 2).cversion, 4);
        assert_eq!(StoredStat::default().to_client(0, 2).cversion, -2);
        let worn = StoredStat { cversion: i32::MIN, ..StoredStat::default() };
        assert_eq!(worn.to_client(0, 1).cversion, -1);
    }
}
