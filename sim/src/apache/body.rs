//! The body of a snapshot, in files and SNAP streams alike, and what Apache's walk makes of one while
//! transactions go on. Facts: PROTOCOL 4.4, 3.6. Apache: `DataTree.serialize`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use vivarium_core::config::Config;
use vivarium_core::ids::Zxid;
use vivarium_core::storage::snapshot::{Fed, SIGNATURE, SnapshotDecoder, Source};
use vivarium_core::tree::{Database, Walk};
use vivarium_core::txn::LoggedTxn;

use crate::rng::SimRng;

/// Data, ACL id and Stat follow a node's path.
const STAT_AND_ACL: usize = 60 + 8;

/// The parts of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// Session table and ACL table, counts included.
    tables: Bytes,
    /// In the order of paths, each once.
    nodes: Vec<Record>,
}

/// The whole record of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record(Bytes);

impl Record {
    /// The root's is "".
    fn path(&self) -> &[u8] {
        let end = text_end(&self.0, 0).expect("whoever passed the record has found its path");
        &self.0[4..end]
    }
}

impl Body {
    /// Reads a body that is all there; what follows its end is left alone.
    pub(super) fn parse(bytes: &Bytes) -> Option<Self> {
        let mut scan = Scan::default();
        if !scan.tables(bytes) {
            return None;
        }
        let tables = bytes.slice(..scan.at);
        let mut nodes = Vec::new();
        while let Some(start) = scan.node(bytes)? {
            nodes.push(Record(bytes.slice(start..scan.at)));
        }
        // Of two records of one node the later one counts.
        nodes.reverse();
        nodes.sort_by(|one, other| one.path().cmp(other.path()));
        nodes.dedup_by(|one, other| one.path() == other.path());
        Some(Self { tables, nodes })
    }

    fn node(&self, path: &[u8]) -> Option<&Record> {
        let place = self.nodes.binary_search_by(|node| node.path().cmp(path));
        place.ok().map(|at| &self.nodes[at])
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_slice(&self.tables);
        self.nodes.iter().for_each(|node| out.put_slice(&node.0));
        put_end(out);
    }

    /// The state at `base`, and after each of `txns`; the last is the newest. `None` where the body
    /// cannot be read.
    pub(super) fn states(
        &self,
        base: Zxid,
        config: &Config,
        txns: &[(Zxid, Bytes)],
    ) -> Option<Vec<Self>> {
        self.some_states(base, config, txns, |_| true)
    }

    /// The state at `base`, and of those after each of `txns` the ones that are asked for by the
    /// number of transactions: a state costs as much as the whole tree.
    pub(super) fn some_states(
        &self,
        base: Zxid,
        config: &Config,
        txns: &[(Zxid, Bytes)],
        wanted: impl Fn(usize) -> bool,
    ) -> Option<Vec<Self>> {
        let mut database = self.database(base, config)?;
        let mut states = vec![self.clone()];
        for (place, (_, payload)) in txns.iter().enumerate() {
            let txn = LoggedTxn::decode(payload.clone()).ok()?;
            database.apply(&txn, &mut Vec::new());
            if wanted(place + 1) {
                states.push(Self::of(&mut database)?);
            }
        }
        Some(states)
    }

    fn database(&self, base: Zxid, config: &Config) -> Option<Database> {
        let mut stream = BytesMut::new();
        self.put(&mut stream);
        put_signature(&mut stream);
        let mut decoder = SnapshotDecoder::new(Source::Stream, config);
        match decoder.push(&stream) {
            Ok(Fed::Complete) => decoder.finish(base).ok().map(|decoded| decoded.database),
            Ok(Fed::More) | Err(_) => None,
        }
    }

    fn of(database: &mut Database) -> Option<Self> {
        let mut bytes = BytesMut::new();
        database.begin_walk(usize::MAX);
        while database.walk(usize::MAX, &mut bytes) == Walk::More {}
        Self::parse(&bytes.freeze())
    }
}

/// What a walk over a tree writes while transactions go on.
pub(super) struct Fuzzy {
    pub(super) body: BytesMut,
    /// Nodes that were there when their parent was written, and not when their own turn came.
    pub(super) missed: BTreeSet<String>,
}

/// A walk that begins in the first of `states` and ends in the last: sessions and ACLs of its start,
/// each node as of its own moment, children as listed when their parent was written.
pub(super) fn fuzzy(states: &[Body], rng: &mut SimRng) -> Fuzzy {
    let mut out = Fuzzy { body: BytesMut::new(), missed: BTreeSet::new() };
    let Some(first) = states.first() else { return out };
    out.body.put_slice(&first.tables);
    let mut paths: Vec<&[u8]> =
        states.iter().flat_map(|state| state.nodes.iter().map(Record::path)).collect();
    paths.sort_unstable();
    paths.dedup();
    let moments = moments(states, &paths, rng);
    let mut written = BTreeMap::new();
    for (place, path) in paths.into_iter().enumerate() {
        let now = moments.partition_point(|moment| *moment <= place);
        let listed = match parent(path) {
            None => true,
            Some(parent) => written
                .get(parent)
                .is_some_and(|&moment: &usize| states[moment].node(path).is_some()),
        };
        match states[now].node(path) {
            Some(node) if listed => {
                out.body.put_slice(&node.0);
                written.insert(path, now);
            }
            None if listed && parent(path).is_some() => {
                out.missed.insert(String::from_utf8_lossy(path).into_owned());
            }
            Some(_) | None => {}
        }
    }
    put_end(&mut out.body);
    out
}

/// How many nodes are written before each state but the first has come. The last one comes, most
/// often, between two nodes that it changes: where that happens at another place of the walk, its
/// effects are in the snapshot as a whole, or not at all.
fn moments(states: &[Body], paths: &[&[u8]], rng: &mut SimRng) -> Vec<usize> {
    let [.., before, last] = states else { return Vec::new() };
    let changed = |path: &&[u8]| before.node(path) != last.node(path);
    let from = paths.iter().position(changed);
    let to = paths.iter().rposition(changed);
    let end = match from.zip(to) {
        Some((from, to)) if from < to && rng.chance(700) => {
            rng.range(from as u64 + 1, to as u64) as usize
        }
        Some(_) | None => rng.below(paths.len() as u64 + 1) as usize,
    };
    // Or it stood still there, for as long as all of them took.
    if rng.chance(300) {
        return vec![end; states.len() - 1];
    }
    let mut moments: Vec<usize> =
        (2..states.len()).map(|_| rng.below(end as u64 + 1) as usize).collect();
    moments.sort_unstable();
    moments.push(end);
    moments
}

fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter().rposition(|byte| *byte == b'/').map(|slash| &path[..slash])
}

fn put_end(out: &mut BytesMut) {
    out.put_i32(1);
    out.put_u8(b'/');
}

/// What ends the stream of a SNAP.
pub(super) fn put_signature(out: &mut BytesMut) {
    out.put_i32(SIGNATURE.len() as i32);
    out.put_slice(SIGNATURE);
}

/// How far a stream that comes in chunks is known; nothing is looked at twice.
#[derive(Debug, Default)]
pub(super) struct Scan {
    at: usize,
    part: Part,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    SessionCount,
    AclCount,
    Acls(i32),
    Nodes,
    Signature,
}

impl Scan {
    /// Where the stream ends, signature included, once that is there.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.tables(bytes) {
            return None;
        }
        while matches!(self.part, Part::Nodes) {
            if self.node(bytes)?.is_none() {
                self.part = Part::Signature;
            }
        }
        let end = self.at + 4 + SIGNATURE.len();
        (bytes.len() >= end).then_some(end)
    }

    /// Goes on to the first node. False while it is not there.
    fn tables(&mut self, bytes: &[u8]) -> bool {
        loop {
            let passed = match self.part {
                Part::SessionCount => self.sessions(bytes),
                Part::AclCount => int(bytes, self.at).map(|left| (self.at + 4, Part::Acls(left))),
                Part::Acls(left) if left <= 0 => Some((self.at, Part::Nodes)),
                Part::Acls(left) => acl_end(bytes, self.at).map(|at| (at, Part::Acls(left - 1))),
                Part::Nodes | Part::Signature => return true,
            };
            let Some((at, part)) = passed.filter(|(at, _)| *at <= bytes.len()) else {
                return false;
            };
            (self.at, self.part) = (at, part);
        }
    }

    fn sessions(&self, bytes: &[u8]) -> Option<(usize, Part)> {
        let count = usize::try_from(int(bytes, self.at)?).unwrap_or(0);
        Some((self.at + 4 + 12 * count, Part::AclCount))
    }

    /// Passes the next node: where it starts; `Some(None)` at the end of all nodes.
    fn node(&mut self, bytes: &[u8]) -> Option<Option<usize>> {
        let start = self.at;
        let data_at = text_end(bytes, start)?;
        let path = bytes.get(start + 4..data_at)?;
        if path == b"/" {
            self.at = data_at;
            return Some(None);
        }
        let end = text_end(bytes, data_at)? + STAT_AND_ACL;
        if bytes.len() < end {
            return None;
        }
        self.at = end;
        Some(Some(start))
    }
}

/// An id, then a vector of (perms, scheme, id).
fn acl_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 12;
    for _ in 0..int(bytes, at + 8)?.max(0) {
        end = text_end(bytes, end + 4)?;
        end = text_end(bytes, end)?;
    }
    Some(end)
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(bytes.get(at..at + 4)?.get_i32())
}

fn text_end(bytes: &[u8], at: usize) -> Option<usize> {
    Some(at + 4 + usize::try_from(int(bytes, at)?).unwrap_or(0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::history::Life;
    use crate::oracle::txn::build::payload;
    use crate::oracle::txn::{CreateTxn, Header, Txn};
    use crate::rng::Stream;
    use vivarium_core::ids::ServerId;

    pub(crate) fn config() -> Config {
        Config { full_digest: true, ..Config::with_defaults(ServerId(1), None, [0; 32]) }
    }

    pub(crate) fn create(zxid: u64, path: &str) -> (Zxid, Bytes) {
        let txn = Txn::Create(CreateTxn {
            kind: 1,
            path: path.into(),
            data: Some(vec![7].into()),
            acl: Some([(31, "world".into(), "anyone".into())].into()),
            life: Life::Persistent,
            parent_cversion: 1,
        });
        let header = Header { session: 5, cxid: 1, zxid: Zxid(zxid), time: 9 };
        (Zxid(zxid), payload(header, &txn))
    }

    pub(crate) fn empty() -> Body {
        Body::of(&mut Database::new(true)).unwrap()
    }

    fn paths(body: &Bytes) -> Vec<String> {
        let nodes = Body::parse(body).unwrap().nodes;
        let paths = nodes.iter().map(|node| String::from_utf8(node.path().to_vec()).unwrap());
        paths.filter(|path| !path.starts_with("/zoo")).collect()
    }

    #[test]
    fn a_body_is_read_and_written_as_core_writes_it() {
        let states =
            empty().states(Zxid(0), &config(), &[create(1, "/a"), create(2, "/a/b")]).unwrap();
        let mut bytes = BytesMut::new();
        states[2].put(&mut bytes);
        let bytes = bytes.freeze();
        assert_eq!(paths(&bytes), ["", "/a", "/a/b"]);
        assert_eq!(Body::parse(&bytes).unwrap(), states[2]);
        assert_eq!(Body::parse(&bytes.slice(..bytes.len() - 6)), None, "cut off");
    }

    #[test]
    fn the_end_of_a_stream_is_found_at_any_border() {
        let states = empty().states(Zxid(0), &config(), &[create(1, "/a")]).unwrap();
        let mut stream = BytesMut::new();
        states[1].put(&mut stream);
        put_signature(&mut stream);
        let whole = stream.len();
        stream.put_slice(b"what follows");
        let mut scan = Scan::default();
        for len in 0..stream.len() {
            let end = scan.end(&stream[..len]);
            assert_eq!(end, (len >= whole).then_some(whole), "{len} of {whole} bytes");
        }
    }

    #[test]
    fn a_fuzzy_body_mixes_moments_and_keeps_parents_first() {
        let txns = [create(1, "/a"), create(2, "/a/b"), create(3, "/c")];
        let states = empty().states(Zxid(0), &config(), &txns).unwrap();
        let (mut mixed, mut exact) = (0, 0);
        for seed in 0..50 {
            let fuzzy = fuzzy(&states, &mut SimRng::new(seed, Stream::Apache, 1));
            let body = Body::parse(&fuzzy.body.freeze()).unwrap();
            assert!(
                body.database(Zxid(0), &config()).is_some(),
                "seed {seed}: a node without its parent"
            );
            if states.contains(&body) { exact += 1 } else { mixed += 1 }
        }
        assert!(mixed > 5 && exact > 5, "{mixed} mixed, {exact} exact");
    }
}
