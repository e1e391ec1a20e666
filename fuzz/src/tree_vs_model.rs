//! Transactions in any order, applied to core's tree and to a small model of it.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use vivarium_core::acl::Acl;
use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::time::Wall;
use vivarium_core::tree::Database;
use vivarium_core::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};

use crate::model::{Model, Seen};
use crate::snapshot_scan::body_of;

const NAMES: [&str; 8] = ["a", "b", "c", "a-", "é", "zookeeper", "quota", ""];
const SESSIONS: i64 = 3;

/// Reads transactions until the bytes end; both trees must look the same after each.
pub fn run(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let mut tree = Database::new(true);
    let mut model = Model::new(
        |path| tree.acl(path).expect("it is there from the start"),
        |path| tree.stat(path).expect("it is there from the start"),
    );
    assert_eq!(seen(&tree), model.seen(), "at the start");
    let mut counter = 0;
    // At their end there are zeros without end.
    while !bytes.is_empty() {
        let Ok(txn) = transaction(&mut bytes, 0) else { break };
        counter += 1;
        let Ok(session) = bytes.int_in_range(1..=SESSIONS) else { break };
        let header = TxnHeader {
            session: SessionId(session),
            cxid: counter,
            zxid: Zxid(counter as u64),
            time: Wall(1_700_000_000_000 + i64::from(counter)),
        };
        let logged = LoggedTxn { header, txn, digest: None };
        tree.apply(&logged, &mut Vec::new());
        model.apply(&logged);
        compare(&tree, &model, &logged);
    }
    is_restored_alike(&mut tree);
}

fn compare(tree: &Database, model: &Model, after: &LoggedTxn) {
    let (ours, theirs) = (seen(tree), model.seen());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "after {after:?}");
    }
    assert_eq!(ours.len(), theirs.len(), "after {after:?}");
    let sessions: Vec<_> = tree.sessions().iter().map(|(id, timeout)| (id.0, *timeout)).collect();
    assert_eq!(sessions, model.sessions.clone().into_iter().collect::<Vec<_>>(), "after {after:?}");
    for session in 1..=SESSIONS {
        assert_eq!(
            tree.ephemerals(SessionId(session)),
            model.ephemerals(session),
            "after {after:?}"
        );
    }
    assert_eq!(tree.applied(), after.header.zxid);
}

fn seen(tree: &Database) -> Vec<Seen> {
    let seen = |(path, node): (String, &vivarium_core::tree::Node)| Seen {
        data: node.data().map(<[u8]>::to_vec),
        acl: tree.acl(&path).unwrap_or_default(),
        children: tree
            .children(&path)
            .iter()
            .flat_map(|names| names.iter())
            .map(str::to_owned)
            .collect(),
        path,
        stat: node.client_stat(),
    };
    let mut all: Vec<_> = tree.iter().map(seen).collect();
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}

/// A server that is filled from this one has the same state, and says so.
fn is_restored_alike(tree: &mut Database) {
    use vivarium_core::storage::snapshot::{SnapshotDecoder, Source};

    let mut stream = body_of(tree).to_vec();
    stream.extend_from_slice(b"\0\0\0\x0aBenWasHere");
    let mut decoder = SnapshotDecoder::new(Source::Stream, &crate::folder::config(None));
    decoder.push(&stream).expect("we wrote it");
    let restored = decoder.finish(tree.applied()).expect("we wrote it").database;
    assert_eq!(seen(&restored), seen(tree));
    assert_eq!(restored.digest(), tree.digest());
}

fn transaction(bytes: &mut Unstructured<'_>, depth: u32) -> Result<Txn> {
    Ok(match bytes.arbitrary::<u8>()? % if depth == 0 { 16 } else { 15 } {
        0 | 1 => Txn::Create(create(bytes)?),
        2 => Txn::Create2(create(bytes)?),
        3 => {
            let CreateTxn { path, data, acl, parent_cversion, .. } = create(bytes)?;
            let parent_cversion = parent_cversion.unwrap_or(-1);
            let ttl = if bytes.arbitrary()? { 1000 } else { bytes.arbitrary()? };
            Txn::CreateTtl { path, data, acl, parent_cversion, ttl }
        }
        4 => {
            let CreateTxn { path, data, acl, parent_cversion, .. } = create(bytes)?;
            let parent_cversion = parent_cversion.unwrap_or(-1);
            Txn::CreateContainer { path, data, acl, parent_cversion }
        }
        5 | 6 => Txn::Delete { path: path(bytes)? },
        7 => Txn::DeleteContainer { path: path(bytes)? },
        8 => Txn::SetData { path: path(bytes)?, data: data(bytes)?, version: number(bytes)? },
        9 => Txn::SetAcl { path: path(bytes)?, acl: list(bytes)?, version: number(bytes)? },
        10 => Txn::CreateSession { timeout_ms: number(bytes)? },
        11 => {
            let paths = |bytes: &mut Unstructured<'_>| {
                let count = bytes.int_in_range(0..=3)?;
                (0..count).map(|_| path(bytes)).collect::<Result<Vec<_>>>()
            };
            Txn::CloseSession {
                paths: bytes.arbitrary::<bool>()?.then(|| paths(bytes)).transpose()?,
            }
        }
        12 => Txn::Check { path: path(bytes)?, version: number(bytes)? },
        13 => Txn::Error { code: number(bytes)? },
        14 => Txn::Reconfig { path: path(bytes)?, data: data(bytes)?, version: number(bytes)? },
        _ => {
            let count = bytes.int_in_range(0..=5)?;
            let ops = (0..count).map(|_| transaction(bytes, depth + 1)).collect::<Result<Vec<_>>>();
            Txn::Multi(ops?)
        }
    })
}

fn create(bytes: &mut Unstructured<'_>) -> Result<CreateTxn> {
    Ok(CreateTxn {
        path: path(bytes)?,
        data: data(bytes)?,
        acl: list(bytes)?,
        ephemeral: bytes.ratio(1, 4)?,
        parent_cversion: bytes.arbitrary::<bool>()?.then(|| number(bytes)).transpose()?,
    })
}

/// Mostly of a few names, so that transactions meet.
fn path(bytes: &mut Unstructured<'_>) -> Result<String> {
    if bytes.ratio(1, 32)? {
        return Ok(bytes.arbitrary::<&str>()?.to_owned());
    }
    let names = bytes.int_in_range(1..=3)?;
    let mut path = String::new();
    for _ in 0..names {
        path.push('/');
        path.push_str(bytes.choose(&NAMES)?);
    }
    Ok(path)
}

fn data(bytes: &mut Unstructured<'_>) -> Result<Option<Bytes>> {
    let len = bytes.int_in_range(0..=6)?;
    Ok((len < 6).then(|| bytes.bytes(len)).transpose()?.map(Bytes::copy_from_slice))
}

fn list(bytes: &mut Unstructured<'_>) -> Result<Option<Vec<Acl>>> {
    let lists = [None, Some(Vec::new()), Some(vec![Acl::world(31)]), Some(vec![Acl::world(1)])];
    Ok(bytes.choose(&lists)?.clone())
}

/// Mostly small ones, and the ends of the range.
fn number(bytes: &mut Unstructured<'_>) -> Result<i32> {
    Ok(match bytes.arbitrary::<u8>()? {
        255 => i32::MAX,
        254 => i32::MIN,
        253 => bytes.arbitrary()?,
        small => i32::from(small) - 2,
    })
}
