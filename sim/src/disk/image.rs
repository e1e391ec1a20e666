//! The files of one server: what its processes read, and what a power cut would leave.
//!
//! Content and names are durable apart: a write survives with certainty after `sync_file`, a
//! creation, rename or removal after `sync_dir` of its folder. Until then a power cut keeps any
//! subset, in any order, whole or torn at sector borders.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{DiskFault, FileEntry, ReadData};
use vivarium_core::storage::files::{Dir, FileName};

use crate::disk::index::is_complete_snapshot;
use crate::disk::inode::{Inode, Meaning, log_zxid, snapshot_zxid};
use crate::disk::survivors::Survivors;
use crate::observe::Durable;
use crate::rng::SimRng;

#[derive(Clone, Debug)]
enum NameOp {
    Link { name: FileName, inode: u64 },
    Rename { from: FileName, to: FileName, inode: u64 },
    Unlink { name: FileName },
}

impl NameOp {
    fn dir(&self) -> Dir {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } => name.dir,
            Self::Rename { to, .. } => to.dir,
        }
    }
}

/// Records at the end of what may rot, where half of all rot is.
const NEAR_THE_END: usize = 3;

/// Rot that leaves zeros, in per mille.
const ZEROS: u64 = 250;

/// One server's folders.
#[derive(Clone, Debug)]
pub struct Image {
    /// Shared with the copies of this disk, until one of them changes.
    inodes: BTreeMap<u64, Arc<Inode>>,
    next_inode: u64,
    names: BTreeMap<FileName, u64>,
    durable_names: BTreeMap<FileName, u64>,
    pending_names: Vec<NameOp>,
    /// Durable log and snapshot files by the zxid in their name.
    logs: Vec<(Zxid, u64)>,
    snapshots: Vec<(Zxid, u64)>,
    hash: fn(&[u8]) -> u64,
    /// Bytes that are written as a whole or not at all.
    sector: usize,
    /// A name was given up since inodes were collected.
    garbage: bool,
}

impl Image {
    /// An empty disk. `hash` names the payload of a log record, as notes do.
    pub fn new(sector: usize, hash: fn(&[u8]) -> u64) -> Self {
        Self {
            inodes: BTreeMap::new(),
            next_inode: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            logs: Vec::new(),
            snapshots: Vec::new(),
            hash,
            sector,
            garbage: false,
        }
    }

    /// Puts a durable file there, as an operator would before the first start.
    pub fn plant(&mut self, name: FileName, content: &[u8]) {
        self.write(&name, 0, Bytes::copy_from_slice(content));
        let mut ignored = Vec::new();
        self.sync_file(&name, &mut ignored);
        self.sync_dir(name.dir, &mut ignored);
    }

    /// Puts other content into a file, durably.
    pub(crate) fn rewrite(&mut self, name: &FileName, content: &[u8]) {
        self.set_len(name, 0);
        self.write(name, 0, Bytes::copy_from_slice(content));
        self.sync_file(name, &mut Vec::new());
    }

    /// Does what an operation asks for; what that makes durable goes into `changes`.
    pub(crate) fn carry_out(
        &mut self,
        action: &DiskAction,
        changes: &mut Vec<Durable>,
    ) -> Result<Option<ReadData>, DiskFault> {
        match action {
            DiskAction::Write { file, offset, bytes, .. } => {
                self.write(file, *offset, bytes.clone());
            }
            DiskAction::SetLen { file, len, .. } => self.set_len(file, *len),
            DiskAction::SyncFile { file, .. } => self.sync_file(file, changes),
            DiskAction::Rename { from, to, .. } => {
                if !self.rename(from, to) {
                    return Err(DiskFault::Io);
                }
            }
            DiskAction::SyncDir { dir, .. } => self.sync_dir(*dir, changes),
            DiskAction::Remove { file, .. } => self.remove(file),
            DiskAction::Read { file, offset, len, .. } => {
                let bytes = self.read(file, *offset, *len);
                return Ok(Some(bytes.map_or(ReadData::Missing, ReadData::Bytes)));
            }
            DiskAction::List { dir, .. } => {
                return Ok(Some(ReadData::Listing(self.list(*dir))));
            }
        }
        Ok(None)
    }

    pub fn write(&mut self, name: &FileName, offset: u64, bytes: Bytes) {
        self.open(name).content.write(offset as usize, bytes);
    }

    pub fn set_len(&mut self, name: &FileName, len: u64) {
        self.open(name).content.set_len(len as usize);
    }

    pub fn rename(&mut self, from: &FileName, to: &FileName) -> bool {
        let Some(inode) = self.names.remove(from) else { return false };
        self.names.insert(to.clone(), inode);
        self.pending_names.push(NameOp::Rename { from: from.clone(), to: to.clone(), inode });
        true
    }

    pub fn remove(&mut self, name: &FileName) {
        if self.names.remove(name).is_some() {
            self.garbage = true;
            self.pending_names.push(NameOp::Unlink { name: name.clone() });
        }
    }

    pub fn sync_file(&mut self, name: &FileName, changes: &mut Vec<Durable>) {
        let Some(&id) = self.names.get(name) else { return };
        let hash = self.hash;
        let inode = self.inode_mut(id);
        if let Some(first) = inode.content.sync() {
            inode.changed(first);
            inode.read_as(name, hash);
            if self.durable_names.get(name) == Some(&id) {
                changes.extend(self.meaning(name, id));
            }
        }
    }

    /// A failed fsync: the kernel marks the pages clean, so that no later fsync writes them.
    pub fn lose_dirty_pages(&mut self, name: &FileName) {
        if let Some(&id) = self.names.get(name) {
            self.inode_mut(id).content.lose_pending();
        }
    }

    pub fn sync_dir(&mut self, dir: Dir, changes: &mut Vec<Durable>) {
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending_names).into_iter().partition(|op| op.dir() == dir);
        self.pending_names = later;
        for op in now {
            self.apply_name(&op);
            match op {
                NameOp::Link { name, inode } => changes.extend(self.meaning(&name, inode)),
                NameOp::Rename { from, to, inode } => {
                    changes.extend(self.meaning(&to, inode));
                    changes.extend(removed(&from, Some(&to)));
                }
                NameOp::Unlink { name } => changes.extend(removed(&name, None)),
            }
        }
        self.collect();
    }

    pub fn read(&self, name: &FileName, offset: u64, len: u32) -> Option<Bytes> {
        let content = self.inodes[self.names.get(name)?].content.current();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        Some(content.read(from, from.saturating_add(len as usize)))
    }

    /// With the zeros at its end.
    pub fn len(&self, name: &FileName) -> Option<usize> {
        self.names.get(name).map(|id| self.inodes[id].content.current().len())
    }

    pub fn list(&self, dir: Dir) -> Vec<FileEntry> {
        let files = self.names.iter().filter(|(name, _)| name.dir == dir);
        files
            .map(|(name, id)| FileEntry {
                name: name.name.clone(),
                len: self.inodes[id].content.current().len() as u64,
            })
            .collect()
    }

    /// The machine lost power: what was not synced survives in part, and the page cache is gone.
    pub fn power_loss(&mut self, rng: &mut SimRng) {
        let survivors = Survivors::draw(rng);
        for op in survivors.keep(std::mem::take(&mut self.pending_names), rng) {
            self.apply_name(&op);
        }
        for inode in self.inodes.values_mut().filter(|inode| !inode.content.is_settled()) {
            let inode = Arc::make_mut(inode);
            let survivors = Survivors::draw(rng);
            let sector = matches!(survivors, Survivors::AnySubset).then_some(self.sector);
            if let Some(first) = inode.content.power_loss(survivors, sector, rng) {
                inode.changed(first);
            }
        }
        self.names.clone_from(&self.durable_names);
        self.garbage = true;
        self.collect();
        for (name, id) in &self.durable_names {
            let Some(inode) = self.inodes.get_mut(id) else { continue };
            if inode.unread_as(name).is_some() {
                Arc::make_mut(inode).read_as(name, self.hash);
            }
        }
    }

    pub fn wipe(&mut self) {
        *self = Self::new(self.sector, self.hash);
    }

    /// Flips one bit of a durable log record that is older than `spare` bytes before the end of the newest log,
    /// or leaves zeros of it and, maybe, of those behind it, as a block that was never written does. False where
    /// there is none.
    pub fn rot(&mut self, spare: u64, rng: &mut SimRng) -> bool {
        let newest = self.logs.last().copied();
        let (mut targets, mut borders) = (Vec::new(), Vec::new());
        for &(zxid, id) in &self.logs {
            let records = self.inodes[&id].records();
            let end = records.last().map_or(0, |last| last.end);
            let limit = if Some((zxid, id)) == newest { end.saturating_sub(spare) } else { end };
            let first = targets.len();
            targets.extend(
                records.iter().filter(|record| record.end < limit).map(|r| (id, r.start, r.end)),
            );
            borders.extend(targets[first..].first());
            borders.extend(targets[first..].last());
        }
        if targets.is_empty() {
            return false;
        }
        // Where a torn batch would lie if it were a little longer, where a file begins or ends, or anywhere.
        let near = targets.len().saturating_sub(NEAR_THE_END);
        let &(id, start, end) = match rng.below(4) {
            0 => rng.pick(&borders),
            1 => rng.pick(&targets),
            _ => rng.pick(&targets[near..]),
        };
        let at = rng.range(start, end - 1) as usize;
        let mask = 1 << rng.below(8);
        let inode = self.inode_mut(id);
        // Zeros are taken for the end where nothing follows: nobody could tell what is missing.
        let last = inode.records().last().map_or(0, |record| record.end);
        let followed = |target: &&(u64, u64, u64)| {
            let &&(of, from, to) = target;
            of == id && from >= start && to < last
        };
        let zeroed = if rng.chance(ZEROS) { rng.log_range(1, 20) as usize } else { 0 };
        let zeroed: Vec<_> = targets.iter().filter(followed).take(zeroed).collect();
        if zeroed.is_empty() {
            inode.content.damage(|bytes| bytes.flip(at, mask));
            inode.lose_record(start);
        }
        for &(_, start, end) in zeroed {
            let zeros = vec![0; (end - start) as usize];
            inode.content.damage(|bytes| bytes.overwrite(start as usize, &zeros));
            inode.lose_record(start);
        }
        true
    }

    /// Flips one bit of a durable snapshot, mostly of the newest. False where there is none.
    pub fn rot_snapshot(&mut self, rng: &mut SimRng) -> bool {
        let sealed = self.snapshots.iter().filter(|(_, id)| self.inodes[id].is_sealed());
        let targets: Vec<u64> = sealed.map(|(_, id)| *id).collect();
        if targets.is_empty() {
            return false;
        }
        // Mostly that which is read first.
        let from = if rng.chance(600) { targets.len() - 1 } else { 0 };
        let inode = self.inode_mut(*rng.pick(&targets[from..]));
        let at = rng.below(inode.content.durable().len() as u64) as usize;
        let mask = 1 << rng.below(8);
        inode.content.damage(|bytes| bytes.flip(at, mask));
        let durable = inode.content.durable();
        let sealed = is_complete_snapshot(&durable.slices(), durable.len());
        drop(durable);
        inode.meaning = Meaning::Snapshot { sealed };
        true
    }

    /// A write to a log lands on older records of the same file, durably, and never in its place. A
    /// checksum shows it: those records end `spare` bytes before the place, or more. False where there
    /// are none.
    pub fn misdirect(
        &mut self,
        name: &FileName,
        offset: u64,
        bytes: &[u8],
        spare: u64,
        rng: &mut SimRng,
    ) -> bool {
        let Some(&id) = self.names.get(name).filter(|_| log_zxid(name).is_some()) else {
            return false;
        };
        let limit = offset.saturating_sub(spare);
        let old = self.inodes[&id].records().iter().filter(|record| record.end < limit);
        let old: Vec<(u64, u64)> = old.map(|record| (record.start, record.end)).collect();
        if old.is_empty() {
            return false;
        }
        // Not where a record begins: it must not pass for one.
        let &(start, first_end) = rng.pick(&old);
        let hit = rng.range(start + 1, first_end - 2);
        let end = limit.min(hit + bytes.len() as u64);
        let part = &bytes[..(end - hit) as usize];
        let inode = self.inode_mut(id);
        inode.content.damage(|bytes| bytes.overwrite(hit as usize, part));
        if let Meaning::Log(index) = &mut inode.meaning {
            old.iter()
                .filter(|(from, to)| *from < end && *to > hit)
                .for_each(|(from, _)| index.rot(*from));
            index.hole(offset, offset + bytes.len() as u64);
        }
        true
    }

    pub fn has_txn(&self, zxid: Zxid, hash: u64) -> bool {
        self.snapshot().is_some_and(|covered| covered >= zxid) || self.log_hash(zxid) == Some(hash)
    }

    pub fn log_hash(&self, zxid: Zxid) -> Option<u64> {
        let before = self.logs.partition_point(|(first, _)| *first <= zxid);
        let files = self.logs[..before].iter().rev();
        files.filter_map(|(_, id)| self.inodes[id].index()?.hash_of(zxid)).next()
    }

    pub fn last_log(&self) -> Option<Zxid> {
        let last = |id: &u64| self.inodes[id].records().last().map(|record| record.zxid);
        self.logs.iter().rev().find_map(|(_, id)| last(id))
    }

    pub fn snapshot(&self) -> Option<Zxid> {
        self.snapshots().next_back()
    }

    /// How much of the newest log a power cut tears.
    pub fn unsynced_log_bytes(&self) -> usize {
        self.logs.last().map_or(0, |(_, id)| self.inodes[id].content.unsynced_bytes())
    }

    /// The complete ones, oldest first.
    pub fn snapshots(&self) -> impl DoubleEndedIterator<Item = Zxid> {
        let sealed = self.snapshots.iter().filter(|(_, id)| self.inodes[id].is_sealed());
        sealed.map(|(zxid, _)| *zxid)
    }

    pub fn epoch(&self, name: &str) -> Option<Epoch> {
        let id = self.durable_names.get(&FileName::new(Dir::Data, name))?;
        let content = self.inodes[id].content.durable();
        std::str::from_utf8(&content.whole()).ok()?.trim().parse().ok().map(Epoch)
    }

    #[cfg(test)]
    pub fn txns(&self) -> Vec<(Zxid, u64)> {
        let files = self.logs.iter().flat_map(|(_, id)| self.inodes[id].records());
        files.map(|record| (record.zxid, record.hash)).collect()
    }

    fn open(&mut self, name: &FileName) -> &mut Inode {
        let id = match self.names.get(name) {
            Some(&id) => id,
            None => {
                let id = self.next_inode;
                self.next_inode += 1;
                self.inodes.insert(id, Arc::default());
                self.names.insert(name.clone(), id);
                self.pending_names.push(NameOp::Link { name: name.clone(), inode: id });
                id
            }
        };
        self.inode_mut(id)
    }

    fn inode_mut(&mut self, id: u64) -> &mut Inode {
        Arc::make_mut(self.inodes.get_mut(&id).expect("names and lists point at inodes"))
    }

    fn apply_name(&mut self, op: &NameOp) {
        match op {
            NameOp::Link { name, inode } => self.link(name, *inode),
            NameOp::Rename { from, to, inode } => {
                if self.durable_names.get(from) == Some(inode) {
                    self.unlink(from);
                }
                self.link(to, *inode);
            }
            NameOp::Unlink { name } => self.unlink(name),
        }
    }

    fn link(&mut self, name: &FileName, id: u64) {
        self.unlink(name);
        self.durable_names.insert(name.clone(), id);
        if let Some(inode) = self.inodes.get_mut(&id) {
            Arc::make_mut(inode).read_as(name, self.hash);
        }
        let list = if let Some(zxid) = log_zxid(name) {
            Some((&mut self.logs, zxid))
        } else {
            snapshot_zxid(name).map(|zxid| (&mut self.snapshots, zxid))
        };
        if let Some((list, zxid)) = list {
            list.push((zxid, id));
            list.sort_unstable();
        }
    }

    fn unlink(&mut self, name: &FileName) {
        if let Some(id) = self.durable_names.remove(name) {
            self.garbage = true;
            self.logs.retain(|(_, known)| *known != id);
            self.snapshots.retain(|(_, known)| *known != id);
        }
    }

    fn meaning(&self, name: &FileName, id: u64) -> Option<Durable> {
        let inode = self.inodes.get(&id)?;
        if log_zxid(name).is_some() {
            return Some(Durable::Log { last: self.last_log() });
        }
        if let Some(zxid) = snapshot_zxid(name) {
            return inode.is_sealed().then_some(Durable::Snapshot { zxid });
        }
        match name.name.as_str() {
            "acceptedEpoch" => self.epoch("acceptedEpoch").map(Durable::AcceptedEpoch),
            "currentEpoch" => self.epoch("currentEpoch").map(Durable::CurrentEpoch),
            _ => None,
        }
    }

    /// Drops inodes that no name leads to any more. Called for every rolled log, so that it looks
    /// at nothing unless a name was given up.
    fn collect(&mut self) {
        if !std::mem::take(&mut self.garbage) {
            return;
        }
        let pending = self.pending_names.iter().filter_map(|op| match op {
            NameOp::Link { inode, .. } | NameOp::Rename { inode, .. } => Some(*inode),
            NameOp::Unlink { .. } => None,
        });
        let named = self.names.values().chain(self.durable_names.values()).copied();
        let mut live: Vec<u64> = named.chain(pending).collect();
        live.sort_unstable();
        self.inodes.retain(|id, _| live.binary_search(id).is_ok());
    }
}

/// What it means that a name is gone for good.
fn removed(name: &FileName, new: Option<&FileName>) -> Option<Durable> {
    let counts = log_zxid(name).or_else(|| snapshot_zxid(name)).is_some();
    let aside = new.is_some_and(|new| new.name.starts_with("corrupt."));
    counts.then_some(Durable::Removed { aside })
}

mod remains;
#[cfg(test)]
mod tests;
