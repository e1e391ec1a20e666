//! Tells a torn batch from rot. Apache cannot (T41): it takes any record without an end
//! mark, and any zeroed length, for the end of the log.

use alloc::vec::Vec;

use crate::storage::padding::unpadded_len;
use crate::storage::txnlog::{
    END_OF_RECORD, FILE_HEADER_LEN, FRAME_LEN, claimed_len, holds_record,
};

/// What lies behind the last good record of a file.
#[derive(Debug)]
pub(super) struct Probe {
    start: u64,
    at: u64,
    /// End of the last byte that is not zero; `start` where there is none.
    end: u64,
    last_byte: u8,
    /// The first bytes up to `end`, as many as the longest record takes.
    head: Vec<u8>,
    head_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Padding alone.
    Clean,
    /// At most what one append batch can leave behind when power fails.
    Torn,
    Rotten,
}

impl Probe {
    pub(super) fn new(start: u64, payload_limit: usize) -> Self {
        let head_max = payload_limit + FRAME_LEN + FILE_HEADER_LEN as usize;
        Self { start, at: start, end: start, last_byte: 0, head: Vec::new(), head_max }
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Where the next chunk starts.
    pub(super) fn wants(&self) -> u64 {
        self.at
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let written = &chunk[..unpadded_len(chunk)];
        if let Some(last) = written.last() {
            self.last_byte = *last;
            let before = (self.at - self.start) as usize;
            self.head.resize(before.min(self.head_max), 0);
            let room = self.head_max - self.head.len();
            self.head.extend_from_slice(&written[..room.min(written.len())]);
            self.end = self.at + written.len() as u64;
        }
        self.at += chunk.len() as u64;
    }

    /// The file ends where a record does, without padding: it was cut there when it was done with.
    pub(super) fn is_cut(&self) -> bool {
        self.at == self.end && self.last_byte == END_OF_RECORD
    }

    pub(super) fn is_clean(&self) -> bool {
        self.end == self.start
    }

    /// For the newest file, whose whole length was pushed.
    pub(super) fn verdict(&self, batch_bytes: usize, payload_limit: usize) -> Verdict {
        if self.is_clean() {
            return Verdict::Clean;
        }
        // The file header is written with the first batch and is not counted in its bound.
        let header = if self.start == 0 { FILE_HEADER_LEN } else { 0 };
        let len = (self.end - self.start).saturating_sub(header);
        if len <= batch_bytes as u64 {
            return Verdict::Torn;
        }
        if len > (payload_limit + FRAME_LEN) as u64 {
            return Verdict::Rotten;
        }
        let record = &self.head[header as usize..][..len as usize];
        match claimed_len(record, payload_limit) {
            // It says itself that it is the last record; a length that rotted says so too, but then
            // whole records follow.
            Some(claimed)
                if claimed >= record.len() && !holds_record(&record[1..], payload_limit) =>
            {
                Verdict::Torn
            }
            Some(_) => Verdict::Rotten,
            // Its head did not reach the disk: it is one record unless another one follows.
            None if holds_record(&record[1..], payload_limit) => Verdict::Rotten,
            None => Verdict::Torn,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::storage::txnlog::encode_record;

    const LIMIT: usize = 4096;
    const BATCH: usize = 512;

    fn verdict(start: u64, bytes: &[u8]) -> Verdict {
        let mut probe = Probe::new(start, LIMIT);
        for chunk in bytes.chunks(100) {
            probe.push(chunk);
        }
        probe.verdict(BATCH, LIMIT)
    }

    fn record(len: usize) -> BytesMut {
        let mut out = BytesMut::new();
        encode_record(&alloc::vec![7; len], &mut out);
        out
    }

    #[test]
    fn the_bound_is_the_batch() {
        assert_eq!(verdict(100, &[0; 3000]), Verdict::Clean);
        assert_eq!(verdict(100, &[]), Verdict::Clean);
        let mut bytes = [0; 3000];
        bytes[BATCH - 1] = 1;
        assert_eq!(verdict(100, &bytes), Verdict::Torn);
        bytes[LIMIT.min(2999)] = 1;
        bytes[0] = 1;
        bytes[11] = 1; // claims one byte of payload
        assert_eq!(verdict(100, &bytes), Verdict::Rotten);
    }

    #[test]
    fn one_long_record_may_be_torn_anywhere() {
        let whole = record(2000);
        for lost in [0..1, 0..512, 512..1024, 1500..2013, 2012..2013] {
            let mut bytes = whole.clone();
            bytes[lost].fill(0);
            assert_eq!(verdict(100, &bytes), Verdict::Torn);
            bytes.extend_from_slice(&[0; 500]);
            assert_eq!(verdict(100, &bytes), Verdict::Torn);
        }
        assert_eq!(verdict(100, &whole[..1800]), Verdict::Torn);
    }

    #[test]
    fn a_record_behind_the_bad_one_is_rot() {
        for lost in [0..8, 8..12, 100..101] {
            let mut bytes = record(600);
            bytes[lost].fill(0);
            bytes.extend_from_slice(&record(600));
            assert_eq!(verdict(100, &bytes), Verdict::Rotten);
        }
    }

    /// A length that rotted to reach beyond the end of the file reads like a torn last record: what
    /// was acknowledged behind it would be cut off.
    #[test]
    fn a_rotten_length_hides_no_record() {
        for claimed in [1200_u32, 2000, LIMIT as u32] {
            let mut bytes = record(600);
            bytes[8..12].copy_from_slice(&claimed.to_be_bytes());
            let torn = bytes.len();
            bytes.extend_from_slice(&record(600));
            assert_eq!(verdict(100, &bytes), Verdict::Rotten);
            assert_eq!(verdict(100, &bytes[..torn]), Verdict::Torn, "nothing follows");
        }
    }

    #[test]
    fn a_lost_file_header_counts_as_part_of_the_first_batch() {
        let mut bytes = alloc::vec![0; 16];
        bytes.extend_from_slice(&record(2000));
        assert_eq!(verdict(0, &bytes), Verdict::Torn);
        bytes.extend_from_slice(&record(20));
        assert_eq!(verdict(0, &bytes), Verdict::Rotten);
    }
}
