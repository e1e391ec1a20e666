//! The committed sequence of a real quorum, from the transaction logs of one of its servers.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use vivarium_core::ids::{Epoch, SessionId, Zxid};

use crate::disk::index::LogIndex;
use crate::oracle::txn::{self, Txn};
use crate::recorded::Unusable;

/// One logged transaction.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub zxid: Zxid,
    pub session: SessionId,
    /// The client's own number of the request; 0 where no client asked.
    pub cxid: i32,
    pub txn: Txn,
    payload: Bytes,
}

impl Logged {
    /// `None`: not a transaction that the model knows.
    pub(crate) fn read(payload: Bytes) -> Option<Self> {
        let (header, txn) = txn::decode(payload.clone())?;
        let (session, cxid) = (SessionId(header.session), header.cxid);
        Some(Self { zxid: header.zxid, session, cxid, txn, payload })
    }

    /// The record, as if the request had come under this number.
    pub(crate) fn payload_as(&self, cxid: i32) -> Bytes {
        let mut payload = BytesMut::from(&self.payload[..]);
        payload[8..12].copy_from_slice(&cxid.to_be_bytes());
        payload.freeze()
    }
}

/// What the folder of a server tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub txns: Vec<Logged>,
    /// The newest epoch that the server accepted; its leader may have written nothing.
    pub newest: Epoch,
}

/// All transactions in the logs of `folder`, which must go back to the first one.
pub(crate) fn read(folder: &Path) -> Result<Log, Unusable> {
    let txns = transactions(folder)?;
    let accepted = fs::read_to_string(folder.join("acceptedEpoch")).ok();
    let accepted = accepted.and_then(|text| text.trim().parse().ok()).map(Epoch);
    let logged = txns.last().map(|logged| logged.zxid.epoch());
    Ok(Log { newest: accepted.max(logged).unwrap_or_default(), txns })
}

fn transactions(folder: &Path) -> Result<Vec<Logged>, Unusable> {
    let (logs, snapshots) = files(folder)?;
    let mut all: Vec<Logged> = Vec::new();
    for (_, path) in &logs {
        let content = fs::read(path).map_err(|error| trouble(path, &error))?;
        let content = Bytes::from(content);
        let mut index = LogIndex::default();
        index.update(&content, content.len() as u64, 0, |_| 0);
        for record in index.records() {
            let payload = content.slice(record.start as usize + 12..record.end as usize - 1);
            let logged = Logged::read(payload).ok_or_else(|| {
                let zxid = record.zxid;
                Unusable(format!(
                    "{}: the model does not know what {zxid} does (a container, a TTL, a reconfig?)",
                    path.display()
                ))
            })?;
            append(&mut all, logged, path)?;
        }
    }
    let Some(first) = all.first() else {
        return Err(Unusable(format!("{}: no transactions in log.* files", folder.display())));
    };
    let is_first = first.zxid.counter() == 1
        && matches!(first.txn, Txn::CreateSession { .. })
        && !snapshots.iter().any(|&zxid| Zxid::ZERO < zxid && zxid < first.zxid);
    if !is_first {
        return Err(Unusable(format!(
            "{}: begins at {}, which is not the first transaction of the ensemble; take a server \
             that has all of its logs (no autopurge, never filled by a SNAP)",
            folder.display(),
            first.zxid
        )));
    }
    Ok(all)
}

/// Within an epoch the counter knows no gaps.
fn append(all: &mut Vec<Logged>, next: Logged, path: &Path) -> Result<(), Unusable> {
    if let Some(last) = all.last() {
        // Apache logs the refusal of a body that does not decode under the zxid before it.
        if last.zxid == next.zxid && matches!(next.txn, Txn::Error { .. }) {
            return Ok(());
        }
        let follows = match last.zxid.epoch() == next.zxid.epoch() {
            true => last.zxid.counter().checked_add(1) == Some(next.zxid.counter()),
            false => last.zxid < next.zxid && next.zxid.counter() == 1,
        };
        if !follows {
            return Err(Unusable(format!(
                "{}: {} comes after {}; a log file is missing or damaged",
                path.display(),
                next.zxid,
                last.zxid
            )));
        }
    }
    all.push(next);
    Ok(())
}

type Logs = Vec<(Zxid, PathBuf)>;

/// Log files in order, and the zxids of snapshots.
fn files(folder: &Path) -> Result<(Logs, Vec<Zxid>), Unusable> {
    let (mut logs, mut snapshots) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(|error| trouble(folder, &error))? {
        let path = entry.map_err(|error| trouble(folder, &error))?.path();
        let Some((stem, hex)) = path.file_name().and_then(|name| name.to_str()?.split_once('.'))
        else {
            continue;
        };
        let Ok(zxid) = u64::from_str_radix(hex, 16) else { continue };
        match stem {
            "log" => logs.push((Zxid(zxid), path)),
            "snapshot" => snapshots.push(Zxid(zxid)),
            _ => {}
        }
    }
    logs.sort();
    Ok((logs, snapshots))
}

fn trouble(path: &Path, error: &std::io::Error) -> Unusable {
    Unusable(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::index::adler32;
    use crate::oracle::txn::{Header, build};

    fn file(folder: &Path, first: u64, zxids: &[u64], damage: usize) {
        let mut bytes = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
        for &zxid in zxids {
            let header = Header { session: 5, cxid: 0, zxid: Zxid(zxid), time: 0 };
            let payload = build::payload(header, &Txn::CreateSession { timeout_ms: 1000 });
            bytes.extend(u64::from(adler32(&payload)).to_be_bytes());
            bytes.extend((payload.len() as u32).to_be_bytes());
            bytes.extend(&payload);
            bytes.push(0x42);
        }
        bytes.truncate(bytes.len() - damage);
        bytes.resize(bytes.len() + 100, 0);
        fs::write(folder.join(format!("log.{first:x}")), bytes).expect("a scratch folder");
    }

    /// A folder that goes when the test is over.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("vivarium-log-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("a scratch folder");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const E1: u64 = 1 << 32;

    #[test]
    fn several_files_are_one_sequence_and_a_torn_tail_is_cut() {
        let scratch = Scratch::new("whole");
        file(&scratch.0, E1 + 1, &[E1 + 1, E1 + 2], 0);
        file(&scratch.0, E1 + 3, &[E1 + 3, 2 * E1 + 1, 2 * E1 + 2], 9);
        fs::write(scratch.0.join("acceptedEpoch"), "5").expect("a scratch folder");
        let log = read(&scratch.0).unwrap();
        let zxids: Vec<u64> = log.txns.iter().map(|logged| logged.zxid.0).collect();
        assert_eq!(zxids, [E1 + 1, E1 + 2, E1 + 3, 2 * E1 + 1]);
        assert_eq!(log.newest, Epoch(5), "a leader may have written nothing");
    }

    #[test]
    fn logs_that_are_not_all_there_are_refused() {
        let scratch = Scratch::new("parts");
        let told = |scratch: &Scratch| read(&scratch.0).unwrap_err().to_string();
        assert!(told(&scratch).contains("no transactions"));
        file(&scratch.0, E1 + 4, &[E1 + 4, E1 + 5], 0);
        assert!(told(&scratch).contains("not the first transaction"));
        file(&scratch.0, E1 + 1, &[E1 + 1, E1 + 2], 0);
        assert!(told(&scratch).contains("missing or damaged"));
    }
}
