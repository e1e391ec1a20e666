//! What a durable file means, read by a small parser of our own: core's is the one under test.
//! Facts: PROTOCOL 4.2, 4.4.

use vivarium_core::ids::Zxid;

/// Length of the file header of a log.
const HEADER: u64 = 16;
const LOG_MAGIC: [u8; 4] = *b"ZKLG";
const SNAP_MAGIC: [u8; 4] = *b"ZKSN";
const END_OF_RECORD: u8 = 0x42;
/// Every seal of a snapshot is followed by the string "/".
const SEAL_END: [u8; 5] = [0, 0, 0, 1, b'/'];
/// Checksum and end.
const SEAL: usize = 13;

/// One valid record of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) zxid: Zxid,
    pub(crate) hash: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// The valid records of one log file, kept up to date from what each sync touched.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogIndex {
    records: Vec<Record>,
    /// Where a fault flipped a bit: start and end of that record. What follows it was written
    /// and synced all the same, so that reading goes on behind it.
    rotten: Vec<(u64, u64)>,
}

impl LogIndex {
    /// A file of `len` bytes is durable now, and differs from before at `from` at the earliest. Behind
    /// `head` there are but zeros.
    pub(crate) fn update(&mut self, head: &[u8], len: u64, from: u64, hash: fn(&[u8]) -> u64) {
        while self.records.last().is_some_and(|last| last.end > from) {
            self.records.pop();
        }
        if head.get(..4) != Some(&LOG_MAGIC) {
            self.records.clear();
            return;
        }
        self.rotten.retain(|(start, _)| *start <= len);
        let mut at = self.records.last().map_or(HEADER, |last| last.end);
        loop {
            if let Some(record) = parse(head, at, hash) {
                at = record.end;
                self.records.push(record);
            } else if let Some(&(_, end)) = self.rotten.iter().find(|(start, _)| *start == at) {
                at = end;
            } else {
                break;
            }
        }
    }

    /// The record at `start` is damaged from now on.
    pub(crate) fn rot(&mut self, start: u64) {
        self.records.retain(|record| {
            let hit = record.start == start;
            if hit {
                self.rotten.push((start, record.end));
            }
            !hit
        });
    }

    /// What was written here went elsewhere: reading goes on behind it.
    pub(crate) fn hole(&mut self, start: u64, end: u64) {
        self.rotten.push((start, end));
    }

    /// Bytes of what lies whole behind the first damaged record.
    pub(crate) fn rot_reach(&self) -> Option<u64> {
        let &(_, behind) = self.rotten.iter().min()?;
        let last = self.records.last().map_or(0, |record| record.end);
        Some(last.saturating_sub(behind))
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(crate) fn hash_of(&self, zxid: Zxid) -> Option<u64> {
        // Most questions are about the newest transactions, and most files are old.
        self.records.last().filter(|last| last.zxid >= zxid)?;
        // Apache's logs may hold one zxid twice: the first record is the transaction (T2).
        let at = self.records.partition_point(|record| record.zxid < zxid);
        self.records.get(at).filter(|record| record.zxid == zxid).map(|record| record.hash)
    }
}

/// Length of the record of a log that these bytes begin with, as it claims.
pub(crate) fn first_record_len(bytes: &[u8]) -> Option<usize> {
    let len = u32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
    Some(13 + len as usize)
}

fn parse(content: &[u8], at: u64, hash: fn(&[u8]) -> u64) -> Option<Record> {
    let rest = content.get(at as usize..)?;
    let crc = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
    let len = u32::from_be_bytes(rest.get(8..12)?.try_into().ok()?) as usize;
    if len < 32 {
        return None;
    }
    let payload = rest.get(12..12 + len)?;
    let complete = rest.get(12 + len) == Some(&END_OF_RECORD) && u64::from(adler32(payload)) == crc;
    complete.then(|| Record {
        zxid: Zxid(u64::from_be_bytes(payload[12..20].try_into().expect("eight bytes"))),
        hash: hash(payload),
        start: at,
        end: at + 13 + len as u64,
    })
}

/// Whether a snapshot file of `len` bytes is complete: its last seal covers everything before it.
/// Behind the slices there are but zeros, which no seal ends with.
pub(crate) fn is_complete_snapshot(slices: &[&[u8]], len: usize) -> bool {
    let Some(body) = len.checked_sub(SEAL) else { return false };
    let begins = slices.first().is_some_and(|first| first.starts_with(&SNAP_MAGIC));
    let (mut sum, mut seal, mut at) = (simd_adler32::Adler32::new(), Vec::with_capacity(SEAL), 0);
    for slice in slices {
        let (before, behind) = slice.split_at(slice.len().min(body.saturating_sub(at)));
        sum.write(before);
        seal.extend_from_slice(behind);
        at += slice.len();
    }
    let expected = [&u64::from(sum.finish()).to_be_bytes()[..], &SEAL_END].concat();
    begins && seal == expected
}

pub(crate) fn adler32(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{LogIndex, adler32, is_complete_snapshot};

    /// A log record as core writes it, around a header and filler.
    pub(crate) fn record(zxid: u64, filler: usize) -> Vec<u8> {
        let mut payload = vec![0; 12];
        payload.extend(zxid.to_be_bytes());
        payload.extend(vec![7; 12 + filler]);
        let mut bytes = u64::from(adler32(&payload)).to_be_bytes().to_vec();
        bytes.extend((payload.len() as u32).to_be_bytes());
        bytes.extend(payload);
        bytes.push(0x42);
        bytes
    }

    pub(crate) fn log(zxids: &[u64]) -> Vec<u8> {
        let mut file = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
        for &zxid in zxids {
            file.extend(record(zxid, 5));
        }
        file
    }

    fn len(payload: &[u8]) -> u64 {
        payload.len() as u64
    }

    #[test]
    fn adler_matches_the_published_value() {
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn an_index_follows_appends_cuts_and_torn_tails() {
        let mut index = LogIndex::default();
        let mut file = log(&[1, 2, 3]);
        file.resize(file.len() + 512, 0);
        index.update(&file, file.len() as u64, 0, len);
        assert_eq!(index.records().len(), 3);
        assert_eq!(index.hash_of(super::Zxid(2)), Some(37));

        let cut = index.records()[1].end;
        file.truncate(cut as usize);
        file.extend(record(9, 80));
        file.extend(&record(10, 80)[..60]);
        index.update(&file, file.len() as u64, cut, len);
        let zxids: Vec<_> = index.records().iter().map(|record| record.zxid.0).collect();
        assert_eq!(zxids, [1, 2, 9], "the torn record 10 is no record");
        assert_eq!(index.hash_of(super::Zxid(3)), None);
    }

    #[test]
    fn records_behind_a_rotten_one_are_still_there() {
        let mut index = LogIndex::default();
        let mut file = log(&[1, 2, 3]);
        index.update(&file, file.len() as u64, 0, len);
        let second = index.records()[1].start;
        file[second as usize + 30] ^= 4;
        index.rot(second);
        let end = file.len() as u64;
        file.extend(record(4, 0));
        index.update(&file, file.len() as u64, end, len);
        let zxids = |index: &LogIndex| -> Vec<_> {
            index.records().iter().map(|record| record.zxid.0).collect()
        };
        assert_eq!(zxids(&index), [1, 3, 4]);
        index.update(&file, file.len() as u64, 0, len);
        assert_eq!(zxids(&index), [1, 3, 4], "also when all of it is read anew");
        file.truncate(second as usize);
        file.extend(record(9, 0));
        index.update(&file, file.len() as u64, second, len);
        assert_eq!(zxids(&index), [1, 9], "a cut takes the damage with it");
    }

    #[test]
    fn a_snapshot_counts_once_it_is_sealed() {
        let mut file = b"ZKSN and a tree".to_vec();
        let seal = u64::from(adler32(&file)).to_be_bytes();
        file.extend(seal);
        assert!(!is_complete_snapshot(&[&file], file.len()));
        file.extend([0, 0, 0, 1, b'/']);
        assert!(is_complete_snapshot(&[&file], file.len()));
        file[6] ^= 1;
        assert!(!is_complete_snapshot(&[&file], file.len()));
    }
}
