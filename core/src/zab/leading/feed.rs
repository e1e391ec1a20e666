//! What a learner is sent next: a cursor over a snapshot file, the log on disk, or the window.
//! Never a queue of its own: a slow learner costs one chunk, not memory without bound.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{LinkId, ReadId, Zxid};
use crate::server::input::{DiskFault, ReadData};
use crate::storage::files::FileName;
use crate::storage::log_cursor::{CursorFault, LogCursor};
use crate::storage::snapshot::{BodySeal, OWN_BODY_START, OWN_TAIL_LEN};
use crate::storage::txnlog::Record;
use crate::wire::jute::JuteWrite;
use crate::wire::quorum::LeaderPacket;
use crate::zab::ZabCx;

/// Bytes that one read of a snapshot file asks for.
const CHUNK_BYTES: u32 = 64 * 1024;

/// Apache's mark behind the snapshot body in a SNAP stream.
const SNAP_SIGNATURE: &str = "BenWasHere";

/// A learner's place in the leader's history.
#[derive(Debug)]
pub(super) struct Feed {
    pub link: LinkId,
    observer: bool,
    source: Source,
    /// Newest transaction that the learner has, or was sent.
    pub sent: Zxid,
    /// Newest transaction that the learner was told is committed.
    pub committed_sent: Zxid,
    /// Observers get PROPOSAL and COMMIT up to here, INFORM behind it (T35).
    sync_upto: Zxid,
}

#[derive(Debug)]
enum Source {
    Snapshot(SnapFeed),
    Disk(DiskFeed),
    Window {
        /// Where the log was read up to, in case the learner falls behind the window.
        place: Option<LogCursor>,
    },
}

/// A snapshot file on its way, body only.
#[derive(Debug)]
struct SnapFeed {
    zxid: Zxid,
    offset: u64,
    /// The newest bytes read, as many as header-less readers must not see: the file's tail.
    held: BytesMut,
    /// The stream carries no checksum: rot in the file would become the learner's state.
    seal: BodySeal,
    reading: Option<(ReadId, u32)>,
    ended: bool,
}

#[derive(Debug)]
struct DiskFeed {
    cursor: LogCursor,
    records: VecDeque<Record>,
}

/// Why a feed cannot go on; the learner's link is closed and it starts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FeedBroken {
    /// A file was purged meanwhile: the next choice knows.
    Purged,
    /// The own log cannot be read: what lies in it is served from a new snapshot from now on.
    LogDamaged,
    /// This snapshot file cannot be read: no SNAP is served from it any more.
    SnapshotDamaged(Zxid),
}

impl FeedBroken {
    /// For the log.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Purged => "a file that the learner needs was purged",
            Self::LogDamaged => "the own log cannot be read",
            Self::SnapshotDamaged(_) => "the own snapshot cannot be read",
        }
    }
}

impl Feed {
    /// Starts behind `from`, which the learner has, inside the window.
    pub(super) fn from_window(link: LinkId, observer: bool, from: Zxid, upto: Zxid) -> Self {
        let committed_sent = from.min(upto);
        let source = Source::Window { place: None };
        Self { link, observer, source, sent: from, committed_sent, sync_upto: upto }
    }

    /// Starts behind `from`, out of the log on disk, with a cursor that has read that far.
    pub(super) fn from_disk(
        link: LinkId,
        observer: bool,
        from: Zxid,
        upto: Zxid,
        found: (LogCursor, Vec<Record>),
    ) -> Self {
        let (cursor, records) = found;
        let source = Source::Disk(DiskFeed { cursor, records: records.into() });
        Self { link, observer, source, sent: from, committed_sent: from, sync_upto: upto }
    }

    /// Starts with the snapshot file of `zxid`; the log behind it follows.
    pub(super) fn from_snapshot(link: LinkId, observer: bool, zxid: Zxid, upto: Zxid) -> Self {
        let source = Source::Snapshot(SnapFeed {
            zxid,
            offset: OWN_BODY_START,
            held: BytesMut::new(),
            seal: BodySeal::new(),
            reading: None,
            ended: false,
        });
        Self { link, observer, source, sent: zxid, committed_sent: zxid, sync_upto: upto }
    }

    /// Whether everything up to the head of the window was sent.
    pub(super) fn is_live(&self, head: Zxid) -> bool {
        matches!(self.source, Source::Window { .. }) && (self.observer || self.sent == head)
    }

    /// Whether there is nothing left to send, with everything up to `known` committed.
    pub(super) fn is_current(&self, head: Zxid, known: Zxid) -> bool {
        matches!(self.source, Source::Window { .. })
            && self.sent == head
            && self.committed_sent >= known.min(head)
    }

    /// Sends as much as fits below the link's high-water mark. `known` is what may be announced as
    /// committed. Returns the bytes that went to the link.
    pub(super) fn pump(
        &mut self,
        room: u64,
        known: Zxid,
        cx: &mut ZabCx<'_>,
    ) -> Result<u64, FeedBroken> {
        let mut sent = 0;
        while sent < room {
            let more = match &mut self.source {
                Source::Snapshot(_) => self.pump_snapshot(cx),
                Source::Disk(_) => self.pump_disk(known, cx),
                Source::Window { .. } => self.pump_window(known, cx)?,
            };
            match more {
                Some(bytes) => sent += bytes,
                None => break,
            }
        }
        Ok(sent)
    }

    /// Asks for the next chunk, or goes on to the log when the file is through.
    fn pump_snapshot(&mut self, cx: &mut ZabCx<'_>) -> Option<u64> {
        let Source::Snapshot(feed) = &mut self.source else { return None };
        if feed.reading.is_some() {
            return None;
        }
        if !feed.ended {
            let file = FileName::snapshot(feed.zxid);
            let (read, action) = cx.history.ids.read(file, feed.offset, CHUNK_BYTES);
            feed.reading = Some((read, CHUNK_BYTES));
            cx.out.disk(action);
            return None;
        }
        let bytes = cx.out.send(self.link, |out: &mut BytesMut| out.put_ustring(SNAP_SIGNATURE));
        self.source = Source::Window { place: None };
        Some(bytes)
    }

    /// Where the window does not reach back to what the learner was sent, the log does; unless the learner
    /// was so slow that what it lacks was purged meanwhile.
    fn fall_back_to_disk(&mut self, cx: &ZabCx<'_>) -> Result<(), FeedBroken> {
        let Source::Window { place } = &mut self.source else { return Ok(()) };
        let (from, base) = (self.committed_sent.min(self.sent), cx.history.window.base());
        if cx.history.damaged_to() > Some(from) {
            return Err(FeedBroken::LogDamaged);
        }
        let files = cx.history.log.files();
        let cursor = match place.take().and_then(|cursor| cursor.extended(files, base)) {
            Some(cursor) => cursor,
            None if cx.log_reaches_back_to(from) => {
                LogCursor::behind_snapshot(cx.config, files, from, base)
            }
            None => return Err(FeedBroken::Purged),
        };
        self.source = Source::Disk(DiskFeed { cursor, records: VecDeque::new() });
        Ok(())
    }

    fn pump_disk(&mut self, known: Zxid, cx: &mut ZabCx<'_>) -> Option<u64> {
        let Source::Disk(feed) = &mut self.source else { return None };
        if let Some(record) = feed.records.pop_front() {
            let zxid = record.zxid;
            return Some(if zxid > self.sent {
                self.send_pair(zxid, record.payload, known, cx)
            } else if zxid > self.committed_sent {
                self.send_commit(zxid, cx)
            } else {
                0
            });
        }
        if feed.cursor.is_ended() {
            let done = core::mem::replace(&mut self.source, Source::Window { place: None });
            if let Source::Disk(DiskFeed { cursor, .. }) = done {
                // Nothing lies between what was sent and the end, which is committed: on a folder of
                // Apache's the window may begin at the start of an epoch, which is no transaction.
                self.sent = self.sent.max(cursor.upto());
                self.committed_sent = self.committed_sent.max(cursor.upto());
                self.source = Source::Window { place: Some(cursor) };
            }
            return Some(0);
        }
        if let Some((_, action)) = feed.cursor.next_read(&mut cx.history.ids) {
            cx.out.disk(action);
        }
        None
    }

    fn pump_window(&mut self, known: Zxid, cx: &mut ZabCx<'_>) -> Result<Option<u64>, FeedBroken> {
        if self.sent.min(self.committed_sent) < cx.history.window.base() {
            self.fall_back_to_disk(cx)?;
            return Ok(Some(0));
        }
        if let Some(zxid) = self.next_commit(known, cx) {
            return Ok(Some(self.send_commit(zxid, cx)));
        }
        let Some(entry) = cx.history.window.next_after(self.sent) else { return Ok(None) };
        let (zxid, payload) = (entry.zxid, entry.payload.clone());
        if zxid <= known {
            return Ok(Some(self.send_pair(zxid, payload, known, cx)));
        }
        if self.observer {
            return Ok(None);
        }
        self.sent = zxid;
        cx.counters.packets_out += 1;
        let packet = LeaderPacket::Proposal { zxid, payload };
        Ok(Some(cx.out.send(self.link, |out| packet.encode(out))))
    }

    /// One COMMIT per zxid, in order, for what was proposed on this link or lay in the learner's
    /// log when it came (B49: the newest commit, not the one that the learner asked about).
    fn next_commit(&self, known: Zxid, cx: &ZabCx<'_>) -> Option<Zxid> {
        let upto = self.sent.min(known);
        if self.committed_sent >= upto {
            return None;
        }
        let next = cx.history.window.next_after(self.committed_sent)?;
        (next.zxid <= upto).then_some(next.zxid)
    }

    fn send_commit(&mut self, zxid: Zxid, cx: &mut ZabCx<'_>) -> u64 {
        self.committed_sent = zxid;
        cx.counters.packets_out += 1;
        cx.out.send(self.link, |out| LeaderPacket::Commit { zxid }.encode(out))
    }

    /// A transaction that is known to be committed: PROPOSAL and COMMIT, or INFORM.
    fn send_pair(&mut self, zxid: Zxid, payload: Bytes, known: Zxid, cx: &mut ZabCx<'_>) -> u64 {
        self.sent = zxid;
        let inform = self.observer && zxid > self.sync_upto;
        let commit = zxid <= known;
        cx.counters.packets_out += if inform { 1 } else { 2 };
        let bytes = cx.out.send(self.link, |out| {
            if inform {
                LeaderPacket::Inform { zxid, payload }.encode(out);
                return;
            }
            LeaderPacket::Proposal { zxid, payload }.encode(out);
            if commit {
                LeaderPacket::Commit { zxid }.encode(out);
            }
        });
        if commit {
            self.committed_sent = zxid;
        }
        bytes
    }

    /// Takes what was read, if it was read for this feed. Returns the bytes that went to the link.
    pub(super) fn on_read(
        &mut self,
        read: ReadId,
        data: Result<ReadData, DiskFault>,
        cx: &mut ZabCx<'_>,
    ) -> Result<u64, FeedBroken> {
        match &mut self.source {
            Source::Snapshot(feed) => {
                let Some((_, asked)) = feed.reading.take_if(|(known, _)| *known == read) else {
                    return Ok(0);
                };
                let zxid = feed.zxid;
                let chunk = match data {
                    Ok(ReadData::Bytes(chunk)) => chunk,
                    Ok(ReadData::Missing | ReadData::Listing(_)) | Err(_) => {
                        return Err(FeedBroken::SnapshotDamaged(zxid));
                    }
                };
                feed.offset += chunk.len() as u64;
                feed.ended = chunk.len() < asked as usize;
                let body = feed.take_body(&chunk);
                if feed.ended && !feed.seal.is_on(&feed.held) {
                    return Err(FeedBroken::SnapshotDamaged(zxid));
                }
                Ok(cx.out.send(self.link, |out| out.put_slice(&body)))
            }
            Source::Disk(feed) if feed.cursor.awaits(read) => {
                match data.map(|data| feed.cursor.on_read(data)) {
                    Ok(Ok(records)) => {
                        feed.records.extend(records);
                        Ok(0)
                    }
                    Ok(Err(CursorFault::Missing(_))) => Err(FeedBroken::Purged),
                    Ok(Err(CursorFault::Gap | CursorFault::Damaged { .. })) | Err(_) => {
                        cx.history.distrust_log(feed.cursor.next_file_starts());
                        Err(FeedBroken::LogDamaged)
                    }
                }
            }
            Source::Disk(_) | Source::Window { .. } => Ok(0),
        }
    }
}

impl SnapFeed {
    /// What of the bytes read so far is certainly not the file's tail.
    fn take_body(&mut self, chunk: &[u8]) -> Bytes {
        self.held.extend_from_slice(chunk);
        let body = self.held.len().saturating_sub(OWN_TAIL_LEN);
        let body = self.held.split_to(body).freeze();
        self.seal.write(&body);
        body
    }
}

#[cfg(test)]
mod tests;
