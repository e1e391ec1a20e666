//! A disk in memory: what readers see, what a power cut leaves, and all that lies between.

use std::collections::BTreeMap;

use bytes::Bytes;
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{FileEntry, ReadData};
use vivarium_core::storage::files::{Dir, FileName};

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Bytes),
    SetLen(u64),
}

#[derive(Clone, Debug)]
enum Entry {
    Link(FileName, usize),
    Unlink(FileName),
    Rename(FileName, FileName, usize),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// Files by name; unsynced changes are kept apart from durable ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    live: BTreeMap<FileName, usize>,
    durable: BTreeMap<FileName, usize>,
    pending: Vec<Entry>,
}

/// Which unsynced changes survive a power cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Nothing,
    Everything,
    /// The first so many, counted over all files.
    First(usize),
    /// All but this one.
    Without(usize),
    /// This one alone.
    Only(usize),
    /// A pseudo-random subset, with writes torn at 64-byte borders.
    Random(u64),
}

impl Disk {
    pub(crate) fn put(&mut self, name: &FileName, bytes: &[u8]) {
        let inode = Inode { live: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() };
        self.inodes.push(inode);
        self.live.insert(name.clone(), self.inodes.len() - 1);
        self.durable.insert(name.clone(), self.inodes.len() - 1);
    }

    pub(crate) fn get(&self, name: &FileName) -> Option<&[u8]> {
        self.live.get(name).map(|inode| &self.inodes[*inode].live[..])
    }

    pub(crate) fn edit(&mut self, name: &FileName, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.get(name).expect("the file is there").to_vec();
        change(&mut bytes);
        self.put(name, &bytes);
    }

    pub(crate) fn remove(&mut self, name: &FileName) {
        self.live.remove(name);
        self.durable.remove(name);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.live.keys().map(|name| name.name.clone()).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().iter().any(|known| known == name)
    }

    /// Bytes of every file, as readers see them.
    pub(crate) fn contents(&self) -> BTreeMap<FileName, Vec<u8>> {
        self.live.iter().map(|(name, id)| (name.clone(), self.inodes[*id].live.clone())).collect()
    }

    /// An fsync that failed and that nobody heard of: readers see what was written, no later fsync
    /// writes it, and it is not on the disk.
    pub(crate) fn fail_silently(&mut self, file: &FileName) {
        let id = *self.live.get(file).expect("only files that exist are synced");
        self.inodes[id].pending.clear();
    }

    /// Carries an operation out; what it reads, if it reads.
    pub(crate) fn run(&mut self, action: &DiskAction) -> Option<ReadData> {
        match action {
            DiskAction::Write { file, offset, bytes, .. } => {
                let id = self.open(file);
                self.change(id, Change::Write(*offset, bytes.clone()));
            }
            DiskAction::SetLen { file, len, .. } => {
                let id = *self.live.get(file).expect("only files that exist change their length");
                self.change(id, Change::SetLen(*len));
            }
            DiskAction::SyncFile { file, .. } => {
                let id = *self.live.get(file).expect("only files that exist are synced");
                let inode = &mut self.inodes[id];
                for change in inode.pending.drain(..) {
                    apply(&mut inode.durable, &change);
                }
            }
            DiskAction::Rename { from, to, .. } => {
                let id = self.live.remove(from).expect("only files that exist are renamed");
                self.live.insert(to.clone(), id);
                self.pending.push(Entry::Rename(from.clone(), to.clone(), id));
            }
            DiskAction::SyncDir { dir, .. } => self.sync_dir(*dir),
            DiskAction::Remove { file, .. } => {
                if self.live.remove(file).is_some() {
                    self.pending.push(Entry::Unlink(file.clone()));
                }
            }
            DiskAction::Read { file, offset, len, .. } => {
                return Some(self.read(file, *offset, *len));
            }
            DiskAction::List { dir, .. } => {
                let names = self.live.iter().filter(|(name, _)| name.dir == *dir);
                let entry = |(name, id): (&FileName, &usize)| FileEntry {
                    name: name.name.clone(),
                    len: self.inodes[*id].live.len() as u64,
                };
                return Some(ReadData::Listing(names.map(entry).collect()));
            }
        }
        None
    }

    fn read(&self, file: &FileName, offset: u64, len: u32) -> ReadData {
        let Some(bytes) = self.get(file) else { return ReadData::Missing };
        let start = (offset as usize).min(bytes.len());
        let end = (start + len as usize).min(bytes.len());
        ReadData::Bytes(Bytes::copy_from_slice(&bytes[start..end]))
    }

    fn open(&mut self, file: &FileName) -> usize {
        if let Some(id) = self.live.get(file) {
            return *id;
        }
        self.inodes.push(Inode::default());
        let id = self.inodes.len() - 1;
        self.live.insert(file.clone(), id);
        self.pending.push(Entry::Link(file.clone(), id));
        id
    }

    fn change(&mut self, id: usize, change: Change) {
        apply(&mut self.inodes[id].live, &change);
        self.inodes[id].pending.push(change);
    }

    fn sync_dir(&mut self, dir: Dir) {
        let pending = std::mem::take(&mut self.pending);
        for entry in pending {
            match entry.dir() == dir {
                true => entry.apply(&mut self.durable),
                false => self.pending.push(entry),
            }
        }
    }

    /// Number of unsynced changes.
    pub(crate) fn unsynced(&self) -> usize {
        self.inodes.iter().map(|inode| inode.pending.len()).sum::<usize>() + self.pending.len()
    }

    /// What is there after the power came back.
    pub(crate) fn after_power_cut(&self, cut: Cut) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        if let Cut::Random(seed) = cut {
            state ^= seed.wrapping_mul(0xd134_2543_de82_ef95);
        }
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let mut index = 0;
        let mut survives = |draw: &mut dyn FnMut() -> u64| {
            let this = index;
            index += 1;
            match cut {
                Cut::Nothing => false,
                Cut::Everything => true,
                Cut::First(count) => this < count,
                Cut::Without(one) => this != one,
                Cut::Only(one) => this == one,
                Cut::Random(_) => draw().is_multiple_of(2),
            }
        };
        let mut after = Self { durable: self.durable.clone(), ..Self::default() };
        for entry in &self.pending {
            if survives(&mut draw) {
                entry.clone().apply(&mut after.durable);
            }
        }
        for inode in &self.inodes {
            let mut bytes = inode.durable.clone();
            for change in &inode.pending {
                if !survives(&mut draw) {
                    continue;
                }
                match change {
                    Change::Write(offset, data) if matches!(cut, Cut::Random(_)) => {
                        for (nth, piece) in data.chunks(64).enumerate() {
                            if !draw().is_multiple_of(3) {
                                let at = offset + nth as u64 * 64;
                                apply(
                                    &mut bytes,
                                    &Change::Write(at, Bytes::copy_from_slice(piece)),
                                );
                            }
                        }
                    }
                    Change::Write(..) | Change::SetLen(_) => apply(&mut bytes, change),
                }
            }
            after.inodes.push(Inode { live: bytes.clone(), durable: bytes, pending: Vec::new() });
        }
        after.live = after.durable.clone();
        after
    }

    /// Every cut that drops a prefix, a suffix or one change, and some random ones.
    pub(crate) fn cuts(&self, random: u64) -> Vec<Cut> {
        let count = self.unsynced();
        let mut cuts = vec![Cut::Nothing, Cut::Everything];
        for one in 0..count {
            cuts.extend([Cut::First(one), Cut::Without(one), Cut::Only(one)]);
        }
        if count > 0 {
            cuts.extend((0..random).map(Cut::Random));
        }
        cuts
    }
}

impl Entry {
    fn dir(&self) -> Dir {
        match self {
            Self::Link(name, _) | Self::Unlink(name) | Self::Rename(_, name, _) => name.dir,
        }
    }

    fn apply(self, names: &mut BTreeMap<FileName, usize>) {
        match self {
            Self::Link(name, id) => {
                names.insert(name, id);
            }
            Self::Unlink(name) => {
                names.remove(&name);
            }
            Self::Rename(from, to, id) => {
                names.remove(&from);
                names.insert(to, id);
            }
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => {
            let start = *offset as usize;
            if bytes.len() < start + data.len() {
                bytes.resize(start + data.len(), 0);
            }
            bytes[start..start + data.len()].copy_from_slice(data);
        }
        Change::SetLen(len) => bytes.resize(*len as usize, 0),
    }
}
