//! A disk in memory that knows what is durable: what a power cut leaves is any part of what was
//! not synced, torn at sectors, with or without the directory entries that were not synced.

use std::collections::BTreeMap;

use bytes::Bytes;
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{FileEntry, ReadData};
use vivarium_core::storage::files::{Dir, FileName};

use super::rng::Rng;

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Bytes },
    SetLen(usize),
}

#[derive(Clone, Debug)]
enum Entry {
    Set(String, usize),
    Remove(String),
    Rename { from: String, to: String, inode: usize },
}

impl Entry {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Folder {
    current: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Entry>,
}

/// What a power cut does with everything that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    Nothing,
    Everything,
    /// Each change by itself, torn at sectors.
    Some,
    /// Contents but no directory entries.
    Contents,
    /// Directory entries but no contents.
    Entries,
}

pub const SURVIVORS: [Survivors; 5] = [
    Survivors::Nothing,
    Survivors::Everything,
    Survivors::Some,
    Survivors::Contents,
    Survivors::Entries,
];

#[derive(Clone, Debug, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    folders: BTreeMap<Dir, Folder>,
    /// Write-like operations carried out since the disk was made.
    pub ops: u64,
}

impl Disk {
    fn inode(&self, file: &FileName) -> Option<usize> {
        self.folders.get(&file.dir)?.current.get(&file.name).copied()
    }

    fn open(&mut self, file: &FileName) -> usize {
        if let Some(inode) = self.inode(file) {
            return inode;
        }
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.enter(file.dir, Entry::Set(file.name.clone(), inode));
        inode
    }

    fn enter(&mut self, dir: Dir, entry: Entry) {
        let folder = self.folders.entry(dir).or_default();
        entry.apply(&mut folder.current);
        folder.pending.push(entry);
    }

    /// Carries out one operation. Reads answer; the rest is `None`.
    pub fn run(&mut self, action: &DiskAction) -> Option<ReadData> {
        match action {
            DiskAction::Read { file, offset, len, .. } => {
                return Some(self.read(file, *offset as usize, *len as usize));
            }
            DiskAction::List { dir, .. } => return Some(ReadData::Listing(self.list(*dir))),
            DiskAction::Write { file, offset, bytes, .. } => {
                let inode = self.open(file);
                let change = Change::Write { offset: *offset as usize, bytes: bytes.clone() };
                self.change(inode, change);
            }
            DiskAction::SetLen { file, len, .. } => {
                let inode = self.open(file);
                self.change(inode, Change::SetLen(*len as usize));
            }
            DiskAction::SyncFile { file, .. } => {
                let inode = self.inode(file).unwrap_or_else(|| panic!("sync of missing {file}"));
                let inode = &mut self.inodes[inode];
                inode.durable.clone_from(&inode.current);
                inode.pending.clear();
            }
            DiskAction::Rename { from, to, .. } => {
                assert_eq!(from.dir, to.dir, "renames stay in a folder");
                let inode = self.inode(from).unwrap_or_else(|| panic!("rename of missing {from}"));
                let (from, name) = (from.name.clone(), to.name.clone());
                self.enter(to.dir, Entry::Rename { from, to: name, inode });
            }
            DiskAction::SyncDir { dir, .. } => {
                let folder = self.folders.entry(*dir).or_default();
                folder.durable.clone_from(&folder.current);
                folder.pending.clear();
            }
            DiskAction::Remove { file, .. } => {
                if self.inode(file).is_some() {
                    self.enter(file.dir, Entry::Remove(file.name.clone()));
                }
            }
        }
        self.ops += 1;
        None
    }

    fn change(&mut self, inode: usize, change: Change) {
        let inode = &mut self.inodes[inode];
        change.apply(&mut inode.current);
        inode.pending.push(change);
    }

    fn read(&self, file: &FileName, offset: usize, len: usize) -> ReadData {
        let Some(inode) = self.inode(file) else { return ReadData::Missing };
        let content = &self.inodes[inode].current;
        let start = offset.min(content.len());
        let end = offset.saturating_add(len).min(content.len());
        ReadData::Bytes(Bytes::copy_from_slice(&content[start..end]))
    }

    pub fn list(&self, dir: Dir) -> Vec<FileEntry> {
        let Some(folder) = self.folders.get(&dir) else { return Vec::new() };
        let entry = |(name, inode): (&String, &usize)| FileEntry {
            name: name.clone(),
            len: self.inodes[*inode].current.len() as u64,
        };
        folder.current.iter().map(entry).collect()
    }

    /// Nothing is lost but what was still queued: the kernel keeps what it was given.
    pub fn power_cut(&mut self, survivors: Survivors, rng: &mut Rng) {
        for inode in &mut self.inodes {
            let mut content = inode.durable.clone();
            for change in &inode.pending {
                match survivors {
                    Survivors::Nothing | Survivors::Entries => {}
                    Survivors::Everything | Survivors::Contents => change.apply(&mut content),
                    Survivors::Some => change.apply_torn(&mut content, rng),
                }
            }
            *inode = Inode { durable: content.clone(), current: content, pending: Vec::new() };
        }
        for folder in self.folders.values_mut() {
            let mut names = folder.durable.clone();
            for entry in &folder.pending {
                let survives = match survivors {
                    Survivors::Nothing | Survivors::Contents => false,
                    Survivors::Everything | Survivors::Entries => true,
                    Survivors::Some => rng.one_in(2),
                };
                if survives {
                    entry.apply(&mut names);
                }
            }
            *folder = Folder { durable: names.clone(), current: names, pending: Vec::new() };
        }
    }

    pub fn wipe(&mut self) {
        self.inodes.clear();
        self.folders.clear();
    }

    /// All of a file as it is now.
    pub fn content(&self, file: &FileName) -> Option<Vec<u8>> {
        self.inode(file).map(|inode| self.inodes[inode].current.clone())
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }

    /// Each sector of a write by itself.
    fn apply_torn(&self, content: &mut Vec<u8>, rng: &mut Rng) {
        let Self::Write { offset, bytes } = self else {
            if rng.one_in(2) {
                self.apply(content);
            }
            return;
        };
        let style = rng.below(4);
        let (mut at, end) = (*offset, offset + bytes.len());
        let keep = *offset + rng.below(bytes.len() as u64 + 1) as usize;
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            let survives = match style {
                0 => true,
                1 => false,
                2 => next <= keep,
                _ => rng.one_in(2),
            };
            if survives {
                put(content, at, &bytes[at - offset..next - offset]);
            }
            at = next;
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}
