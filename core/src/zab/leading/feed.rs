//! What a learner is sent next: a cursor over a snapshot file, the log on disk, or the window.
//! Never a queue of its own: a slow learner costs one chunk, not memory without bound.

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{LinkId, ReadId, Zxid};
use crate::server::action::DiskAction;
use crate::storage::files::FileName;
use crate::storage::inventory::SnapshotFile;
use crate::storage::log_cursor::LogCursor;
use crate::storage::snapshot::BODY_START;
use crate::storage::snapshot::TAIL_LEN;
use crate::wire::jute::JuteWrite;
use crate::wire::quorum::LeaderPacket;
use crate::zab::ZabCx;

/// Bytes that one read of a snapshot file asks for.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Apache's mark behind the snapshot body in a SNAP stream.
const SNAP_SIGNATURE: &str = "BenWasHere";

/// A learner's place in the leader's history.
#[derive(Debug)]
pub struct Feed {
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
    end: u64,
    reading: Option<ReadId>,
}

#[derive(Debug)]
struct DiskFeed {
    cursor: LogCursor,
    reading: Option<ReadId>,
}

/// Why a feed cannot go on; the learner's link is closed and it starts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedBroken(pub &'static str);

impl Feed {
    /// Starts behind `from`, which the learner has, inside the window.
    pub fn from_window(link: LinkId, observer: bool, from: Zxid, upto: Zxid) -> Self {
        let committed_sent = from.min(upto);
        Self { link, observer, source: Source::Window, sent: from, committed_sent, sync_upto: upto }
    }

    /// Starts behind `from`, out of the log on disk, with a cursor that stands there.
    pub fn from_disk(
        link: LinkId,
        observer: bool,
        from: Zxid,
        upto: Zxid,
        cursor: LogCursor,
    ) -> Self {
        let source = Source::Disk(DiskFeed { cursor, reading: None });
        Self { link, observer, source, sent: from, committed_sent: from, sync_upto: upto }
    }

    /// Starts with a snapshot file; the log behind it follows.
    pub fn from_snapshot(
        link: LinkId,
        observer: bool,
        snapshot: SnapshotFile,
        upto: Zxid,
    ) -> Self {
        let feed = SnapFeed {
            file: FileName::snapshot(snapshot.zxid),
            offset: BODY_START,
            end: snapshot.len.saturating_sub(TAIL_LEN),
            reading: None,
        };
        let zxid = snapshot.zxid;
        let source = Source::Snapshot(feed);
        Self { link, observer, source, sent: zxid, committed_sent: zxid, sync_upto: upto }
    }

    /// Whether everything up to the head of the window was sent.
    pub fn is_live(&self, head: Zxid) -> bool {
        matches!(self.source, Source::Window) && (self.observer || self.sent == head)
    }

    pub fn in_window(&self) -> bool {
        matches!(self.source, Source::Window)
    }

    /// Sends as much as fits below the link's high-water mark. `known` is what may be announced as
    /// committed. Returns the bytes that went to the link.
    pub fn pump(&mut self, room: u64, known: Zxid, cx: &mut ZabCx<'_>) -> Result<u64, FeedBroken> {
        let mut sent = 0;
        while sent < room {
            let more = match &mut self.source {
                Source::Snapshot(_) => self.pump_snapshot(cx),
                Source::Disk(_) => self.pump_disk(known, cx)?,
                Source::Window => self.pump_window(known, cx)?,
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
        if feed.offset < feed.end {
            let len = CHUNK_BYTES.min(feed.end - feed.offset) as u32;
            let read = cx.history.ids.read();
            let (file, offset) = (feed.file.clone(), feed.offset);
            cx.out.push(crate::server::Action::Disk(DiskAction::Read { read, file, offset, len }));
            feed.reading = Some(read);
            return None;
        }
        let bytes = cx.out.send(self.link, |out: &mut BytesMut| out.put_ustring(SNAP_SIGNATURE));
        self.source = if self.sent >= cx.history.window.base() {
            Source::Window
        } else {
            let cursor = LogCursor::new(&cx.inventory.logs, self.sent, cx.history.window.base());
            Source::Disk(DiskFeed { cursor, reading: None })
        };
        Some(bytes)
    }

    fn pump_disk(&mut self, known: Zxid, cx: &mut ZabCx<'_>) -> Result<Option<u64>, FeedBroken> {
        let Source::Disk(feed) = &mut self.source else { return Ok(None) };
        match feed.cursor.next_record() {
            Ok(Some((zxid, payload))) if zxid > self.sent => {
                Ok(Some(self.send_pair(zxid, payload, known, cx)))
            }
            Ok(Some(_)) => Ok(Some(0)),
            Ok(None) if feed.cursor.is_done() => {
                if self.sent < cx.history.window.base() {
                    return Err(FeedBroken("the log on disk ends before the window begins"));
                }
                self.source = Source::Window;
                Ok(Some(0))
            }
            Ok(None) => {
                if feed.reading.is_none()
                    && let Some((read, action)) = feed.cursor.next_read(&mut cx.history.ids)
                {
                    feed.reading = Some(read);
                    cx.out.push(crate::server::Action::Disk(action));
                }
                Ok(None)
            }
            Err(_) => Err(FeedBroken("the log on disk does not reach back far enough")),
        }
    }

    fn pump_window(&mut self, known: Zxid, cx: &mut ZabCx<'_>) -> Result<Option<u64>, FeedBroken> {
        if self.sent < cx.history.window.base() {
            return Err(FeedBroken("the learner fell behind the window"));
        }
        if let Some(bytes) = self.send_commit(known, cx)? {
            return Ok(Some(bytes));
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
    fn send_commit(&mut self, known: Zxid, cx: &mut ZabCx<'_>) -> Result<Option<u64>, FeedBroken> {
        if self.committed_sent >= self.sent || self.committed_sent >= known {
            return Ok(None);
        }
        let next = cx.history.window.next_after(self.committed_sent);
        let Some(zxid) = next.map(|entry| entry.zxid) else { return Ok(None) };
        if self.committed_sent < cx.history.window.base() {
            return Err(FeedBroken("commits fell behind the window"));
        }
        if zxid > known || zxid > self.sent {
            return Ok(None);
        }
        self.committed_sent = zxid;
        cx.counters.packets_out += 1;
        Ok(Some(cx.out.send(self.link, |out| LeaderPacket::Commit { zxid }.encode(out))))
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

    /// Takes a chunk that was read for this feed; `false` when the read was another's.
    pub fn on_read(
        &mut self,
        read: ReadId,
        bytes: Option<Bytes>,
        cx: &mut ZabCx<'_>,
    ) -> Result<u64, FeedBroken> {
        match &mut self.source {
            Source::Snapshot(feed) if feed.reading == Some(read) => {
                feed.reading = None;
                let chunk = bytes.ok_or(FeedBroken("the snapshot file is gone"))?;
                if chunk.is_empty() {
                    return Err(FeedBroken("the snapshot file is shorter than it was"));
                }
                feed.offset += chunk.len() as u64;
                Ok(cx.out.send(self.link, |out| out.put_slice(&chunk)))
            }
            Source::Disk(feed) if feed.reading == Some(read) => {
                feed.reading = None;
                let chunk = bytes.ok_or(FeedBroken("a log file is gone"))?;
                feed.cursor.on_read(chunk).map_err(|_| FeedBroken("a log file is damaged"))?;
                Ok(0)
            }
            Source::Snapshot(_) | Source::Disk(_) | Source::Window => Ok(0),
        }
    }
}
