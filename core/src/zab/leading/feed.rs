//! What a learner is sent next: a cursor over a snapshot file, the log on disk, or the window.
//! Never a queue of its own: a slow learner costs one chunk, not memory without bound.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{LinkId, ReadId, Zxid};
use crate::server::input::ReadData;
use crate::storage::files::FileName;
use crate::storage::log_cursor::LogCursor;
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
    Window,
}

/// A snapshot file on its way, body only.
#[derive(Debug)]
struct SnapFeed {
    file: FileName,
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
pub(super) struct FeedBroken {
    pub why: &'static str,
    /// The own log cannot be read: what lies in it is served from a new snapshot from now on.
    pub damaged: bool,
}

impl FeedBroken {
    const fn behind(why: &'static str) -> Self {
        Self { why, damaged: false }
    }

    const fn damaged(why: &'static str) -> Self {
        Self { why, damaged: true }
    }
}

impl Feed {
    /// Starts behind `from`, which the learner has, inside the window.
    pub(super) fn from_window(link: LinkId, observer: bool, from: Zxid, upto: Zxid) -> Self {
        let committed_sent = from.min(upto);
        Self { link, observer, source: Source::Window, sent: from, committed_sent, sync_upto: upto }
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
            file: FileName::snapshot(zxid),
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
        matches!(self.source, Source::Window) && (self.observer || self.sent == head)
    }

    /// Sends as much as fits below the link's high-water mark. `known` is what may be announced as
    /// committed. Returns the bytes that went to the link.
    pub(super) fn pump(&mut self, room: u64, known: Zxid, cx: &mut ZabCx<'_>) -> u64 {
        let mut sent = 0;
        while sent < room {
            let more = match &mut self.source {
                Source::Snapshot(_) => self.pump_snapshot(cx),
                Source::Disk(_) => self.pump_disk(known, cx),
                Source::Window => self.pump_window(known, cx),
            };
            match more {
                Some(bytes) => sent += bytes,
                None => break,
            }
        }
        sent
    }

    /// Asks for the next chunk, or goes on to the log when the file is through.
    fn pump_snapshot(&mut self, cx: &mut ZabCx<'_>) -> Option<u64> {
        let Source::Snapshot(feed) = &mut self.source else { return None };
        if feed.reading.is_some() {
            return None;
        }
        if !feed.ended {
            let (read, action) = cx.history.ids.read(feed.file.clone(), feed.offset, CHUNK_BYTES);
            feed.reading = Some((read, CHUNK_BYTES));
            cx.out.disk(action);
            return None;
        }
        let bytes = cx.out.send(self.link, |out: &mut BytesMut| out.put_ustring(SNAP_SIGNATURE));
        self.go_on(cx);
        Some(bytes)
    }

    /// Goes on in the window, or in the log on disk where the window has moved past this learner: it
    /// moves while files are read, and under load faster than that.
    fn go_on(&mut self, cx: &ZabCx<'_>) {
        let base = cx.history.window.base();
        self.source = if self.committed_sent >= base {
            Source::Window
        } else {
            let files = cx.history.log.files();
            let cursor = LogCursor::behind_snapshot(cx.config, files, self.committed_sent, base);
            Source::Disk(DiskFeed { cursor, records: VecDeque::new() })
        };
    }

    fn pump_disk(&mut self, known: Zxid, cx: &mut ZabCx<'_>) -> Option<u64> {
        let Source::Disk(feed) = &mut self.source else { return None };
        if let Some(record) = feed.records.pop_front() {
            return Some(self.send_pair(record.zxid, record.payload, known, cx));
        }
        if feed.cursor.is_ended() {
            self.go_on(cx);
            return Some(0);
        }
        if let Some((_, action)) = feed.cursor.next_read(&mut cx.history.ids) {
            cx.out.disk(action);
        }
        None
    }

    fn pump_window(&mut self, known: Zxid, cx: &mut ZabCx<'_>) -> Option<u64> {
        if self.committed_sent < cx.history.window.base() {
            self.go_on(cx);
            return Some(0);
        }
        if let Some(bytes) = self.send_commit(known, cx) {
            return Some(bytes);
        }
        let entry = cx.history.window.next_after(self.sent)?;
        let (zxid, payload) = (entry.zxid, entry.payload.clone());
        if zxid <= known {
            return Some(self.send_pair(zxid, payload, known, cx));
        }
        if self.observer {
            return None;
        }
        self.sent = zxid;
        cx.counters.packets_out += 1;
        let packet = LeaderPacket::Proposal { zxid, payload };
        Some(cx.out.send(self.link, |out| packet.encode(out)))
    }

    /// One COMMIT per zxid, in order, for what was proposed on this link or lay in the learner's
    /// log when it came (B49: the newest commit, not the one that the learner asked about).
    fn send_commit(&mut self, known: Zxid, cx: &mut ZabCx<'_>) -> Option<u64> {
        let next = cx.history.window.next_after(self.committed_sent)?;
        let zxid = next.zxid;
        (zxid <= known && zxid <= self.sent).then(|| self.announce(zxid, cx))
    }

    fn announce(&mut self, zxid: Zxid, cx: &mut ZabCx<'_>) -> u64 {
        self.committed_sent = zxid;
        cx.counters.packets_out += 1;
        cx.out.send(self.link, |out| LeaderPacket::Commit { zxid }.encode(out))
    }

    /// A transaction that is known to be committed: PROPOSAL and COMMIT, or INFORM. What was proposed
    /// on this link before lacks its COMMIT only.
    fn send_pair(&mut self, zxid: Zxid, payload: Bytes, known: Zxid, cx: &mut ZabCx<'_>) -> u64 {
        if zxid <= self.sent {
            return self.announce(zxid, cx);
        }
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
        data: ReadData,
        cx: &mut ZabCx<'_>,
    ) -> Result<u64, FeedBroken> {
        match &mut self.source {
            Source::Snapshot(feed) => {
                let Some((_, asked)) = feed.reading.take_if(|(known, _)| *known == read) else {
                    return Ok(0);
                };
                let ReadData::Bytes(chunk) = data else {
                    return Err(FeedBroken::behind("the snapshot file is gone"));
                };
                feed.offset += chunk.len() as u64;
                feed.ended = chunk.len() < asked as usize;
                let body = feed.take_body(&chunk);
                if feed.ended && !feed.seal.is_on(&feed.held) {
                    return Err(FeedBroken::damaged("the snapshot file is damaged"));
                }
                Ok(cx.out.send(self.link, |out| out.put_slice(&body)))
            }
            Source::Disk(feed) if feed.cursor.awaits(read) => {
                let records = feed.cursor.on_read(data);
                feed.records
                    .extend(records.map_err(|_| FeedBroken::damaged("the log has a hole"))?);
                Ok(0)
            }
            Source::Disk(_) | Source::Window => Ok(0),
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
mod tests {
    use super::*;
    use crate::storage::snapshot::SnapshotEncoder;
    use crate::tree::{Database, Walk};

    /// The whole file of an empty tree.
    fn file() -> BytesMut {
        let mut database = Database::new(false);
        let mut out = BytesMut::new();
        let mut encoder = SnapshotEncoder::new(Zxid(7), database.digest().tree);
        encoder.head(&mut out);
        let start = out.len();
        database.begin_walk(usize::MAX);
        while database.walk(usize::MAX, &mut out) == Walk::More {}
        encoder.body(&out[start..]);
        encoder.tail(&mut out);
        out
    }

    fn is_whole(file: &[u8]) -> bool {
        let feed = Feed::from_snapshot(LinkId(1), false, Zxid(7), Zxid(7));
        let Source::Snapshot(mut feed) = feed.source else { unreachable!("it was made so") };
        file[OWN_BODY_START as usize..].chunks(10).for_each(|chunk| drop(feed.take_body(chunk)));
        feed.seal.is_on(&feed.held)
    }

    #[test]
    fn rot_in_a_snapshot_file_shows_before_its_stream_ends() {
        let file = file();
        assert!(is_whole(&file));
        let body = OWN_BODY_START as usize..file.len() - OWN_TAIL_LEN;
        for at in body {
            let mut rotten = file.clone();
            rotten[at] ^= 4;
            assert!(!is_whole(&rotten), "byte {at}");
        }
        assert!(!is_whole(&file[..file.len() - 1]), "cut off");
    }
}
