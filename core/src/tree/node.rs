//! One znode and its Stat in both forms. Apache: `DataNode`, `StatPersisted`.

use alloc::boxed::Box;

use bytes::{BufMut, Bytes, BytesMut};

use super::digest::NodeDigest;
use super::lifetime::Lifetime;
use super::nodes::{Below, ChildIds, Children, NodeId};
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
    /// Of a node that is created, without an owner.
    pub fn fresh(zxid: i64, time: i64) -> Self {
        let (czxid, mzxid, pzxid) = (zxid, zxid, zxid);
        Self { czxid, mzxid, pzxid, ctime: time, mtime: time, ..Self::default() }
    }

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

/// One node as readers see it: most are small, and never change after their creation.
#[derive(Debug)]
pub struct Node {
    content: Content,
    history: History,
    /// Number in the ACL table.
    acl: i64,
    /// What this node counts in the digests of the tree; kept so that a change need not hash twice.
    pub(super) digest: NodeDigest,
    /// The root's is the root.
    parent: NodeId,
}

/// Data that is longer lies in an allocation of its own, which readers share.
const LONGEST_PACKED: usize = 1024;

/// Name and data.
#[derive(Debug)]
enum Content {
    /// One behind the other.
    Packed {
        bytes: Box<[u8]>,
        name_len: u32,
        is_null: bool,
    },
    Apart(Box<(Box<str>, Bytes)>),
}

/// Stat and children.
#[derive(Debug)]
enum History {
    /// Created, and nothing since: no children, no owner, one zxid, one time in milliseconds.
    Fresh {
        zxid: i64,
        time: i64,
    },
    Grown(Box<Grown>),
}

#[derive(Debug)]
struct Grown {
    stat: StoredStat,
    children: Children,
}

impl Content {
    /// What comes off the wire is a part of a packet, which it would keep in memory: it is copied.
    fn new(name: &str, data: Option<&[u8]>) -> Self {
        match data {
            Some(data) if data.len() > LONGEST_PACKED => {
                Self::Apart(Box::new((name.into(), Bytes::copy_from_slice(data))))
            }
            Some(_) | None => {
                let bytes = [name.as_bytes(), data.unwrap_or_default()].concat();
                let name_len = u32::try_from(name.len()).expect("names are shorter than packets");
                Self::Packed { bytes: bytes.into(), name_len, is_null: data.is_none() }
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Packed { .. } => {
                core::str::from_utf8(self.name_bytes()).expect("it was made of a name")
            }
            Self::Apart(apart) => &apart.0,
        }
    }

    fn name_bytes(&self) -> &[u8] {
        match self {
            Self::Packed { bytes, name_len, .. } => &bytes[..*name_len as usize],
            Self::Apart(apart) => apart.0.as_bytes(),
        }
    }

    fn data(&self) -> Option<&[u8]> {
        match self {
            Self::Packed { is_null: true, .. } => None,
            Self::Packed { bytes, name_len, .. } => Some(&bytes[*name_len as usize..]),
            Self::Apart(apart) => Some(&apart.1),
        }
    }
}

impl History {
    fn new(stat: StoredStat, children: Children) -> Self {
        let fresh = StoredStat::fresh(stat.czxid, stat.ctime);
        if stat == fresh && children.is_empty() {
            return Self::Fresh { zxid: stat.czxid, time: stat.ctime };
        }
        Self::Grown(Box::new(Grown { stat, children }))
    }

    fn stat(&self) -> StoredStat {
        match self {
            Self::Fresh { zxid, time } => StoredStat::fresh(*zxid, *time),
            Self::Grown(grown) => grown.stat,
        }
    }

    fn children(&self) -> Option<&Children> {
        match self {
            Self::Fresh { .. } => None,
            Self::Grown(grown) => Some(&grown.children),
        }
    }
}

impl Node {
    /// Its place comes with [`super::nodes::Nodes::insert`].
    pub(super) fn new(path: &str, data: Option<&[u8]>, acl: i64, stat: StoredStat) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        Self {
            content: Content::new(name, data),
            history: History::new(stat, Children::default()),
            acl,
            digest: NodeDigest::default(),
            parent: NodeId::ROOT,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.content.name()
    }

    /// To compare names, which is done far more often than they are shown.
    pub(super) fn name_bytes(&self) -> &[u8] {
        self.content.name_bytes()
    }

    /// As long as it is in a tree.
    pub(super) fn parent(&self) -> NodeId {
        self.parent
    }

    pub fn data(&self) -> Option<&[u8]> {
        self.content.data()
    }

    /// The data as a value of its own; what is long is shared.
    pub fn data_bytes(&self) -> Option<Bytes> {
        match &self.content {
            Content::Apart(apart) => Some(apart.1.clone()),
            Content::Packed { .. } => self.data().map(Bytes::copy_from_slice),
        }
    }

    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        self.content = Content::new(self.content.name(), data);
    }

    /// 0 for null data.
    pub fn data_length(&self) -> usize {
        self.data().map_or(0, <[u8]>::len)
    }

    pub fn stat(&self) -> StoredStat {
        self.history.stat()
    }

    pub(super) fn set_stat(&mut self, stat: StoredStat) {
        match &mut self.history {
            History::Grown(grown) => grown.stat = stat,
            History::Fresh { .. } => self.history = History::new(stat, Children::default()),
        }
    }

    pub fn num_children(&self) -> usize {
        self.history.children().map_or(0, Children::len)
    }

    pub(super) fn child_list(&self) -> Option<&Children> {
        self.history.children()
    }

    pub(super) fn children(&self) -> ChildIds<'_> {
        ChildIds::of(self.history.children())
    }

    /// All below it.
    pub fn below(&self) -> Below {
        self.history.children().map(Children::below).unwrap_or_default()
    }

    /// Only a node with children has anything below it.
    pub(super) fn count_below(&mut self, nodes: i32, bytes: i64) {
        if let History::Grown(grown) = &mut self.history {
            grown.children.count_below(nodes, bytes);
        }
    }

    pub(super) fn take_children(&mut self) -> Children {
        match &mut self.history {
            History::Fresh { .. } => Children::default(),
            History::Grown(grown) => core::mem::take(&mut grown.children),
        }
    }

    pub(super) fn put_children(&mut self, children: Children) {
        match &mut self.history {
            History::Grown(grown) => grown.children = children,
            History::Fresh { .. } => self.history = History::new(self.stat(), children),
        }
    }

    pub(super) fn set_parent(&mut self, parent: NodeId) {
        self.parent = parent;
    }

    /// Number in the ACL table; -1 is the null list.
    pub fn acl_id(&self) -> i64 {
        self.acl
    }

    /// Returns the number before it.
    pub(super) fn set_acl_id(&mut self, acl: i64) -> i64 {
        core::mem::replace(&mut self.acl, acl)
    }

    pub fn lifetime(&self) -> Lifetime {
        match &self.history {
            History::Fresh { .. } => Lifetime::Persistent,
            History::Grown(grown) => Lifetime::of(grown.stat.ephemeral_owner),
        }
    }

    pub fn client_stat(&self) -> Stat {
        self.stat().to_client(self.data_length(), self.num_children())
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
