//! Where the disk of a server stands between the steps of what it keeps.

use vivarium_core::server::action::DiskAction;
use vivarium_core::storage::files::{Dir, EpochFile, Known};

use crate::coverage::labels::Pending;

/// What kind of operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Struck {
    Log,
    Snapshot,
    Read,
    Recovery,
}

/// What one operation did, beside being a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiskSteps {
    /// A log file was created.
    pub(crate) rolled: bool,
    /// A log file was cut.
    pub(crate) cut: bool,
}

/// What was done and is not durable yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskProgress {
    /// Bits of [`Pending`], and the folder that holds each name.
    pending: u16,
    folders: [Option<Dir>; Pending::COUNT],
    steps: DiskSteps,
}

impl DiskProgress {
    /// An operation has taken effect.
    pub(crate) fn did(&mut self, action: &DiskAction) {
        match action {
            DiskAction::Write { file, offset, .. } => match Known::parse(&file.name) {
                Known::Log(_) => {
                    self.add(Pending::LogBytes, None);
                    if *offset == 0 {
                        self.add(Pending::LogName, Some(file.dir));
                        self.steps.rolled = true;
                    }
                }
                Known::UnsealedSnapshot(_) => self.add(Pending::SnapshotBytes, None),
                Known::EpochTmp(file) => self.add(bytes_of(file), None),
                Known::Snapshot(_)
                | Known::CompressedSnapshot(_)
                | Known::Epoch(_)
                | Known::Corrupt
                | Known::Other => {}
            },
            DiskAction::SetLen { file, len, .. } => {
                // A log grows in large steps, by zeros; only what ends behind its header is a cut.
                if matches!(Known::parse(&file.name), Known::Log(_)) && !len.is_multiple_of(4096) {
                    self.add(Pending::LogCut, None);
                    self.steps.cut = true;
                }
            }
            DiskAction::SyncFile { file, .. } => match Known::parse(&file.name) {
                Known::Log(_) => self.clear(&[Pending::LogBytes, Pending::LogCut]),
                Known::UnsealedSnapshot(_) => self.clear(&[Pending::SnapshotBytes]),
                Known::EpochTmp(file) => self.clear(&[bytes_of(file)]),
                Known::Snapshot(_)
                | Known::CompressedSnapshot(_)
                | Known::Epoch(_)
                | Known::Corrupt
                | Known::Other => {}
            },
            DiskAction::Rename { to, .. } => match Known::parse(&to.name) {
                Known::Snapshot(_) => self.add(Pending::SnapshotName, Some(to.dir)),
                Known::Epoch(EpochFile::Accepted) => self.add(Pending::AcceptedName, Some(to.dir)),
                Known::Epoch(EpochFile::Current) => self.add(Pending::CurrentName, Some(to.dir)),
                Known::CompressedSnapshot(_)
                | Known::UnsealedSnapshot(_)
                | Known::Log(_)
                | Known::EpochTmp(_)
                | Known::Corrupt
                | Known::Other => {}
            },
            DiskAction::SyncDir { dir, .. } => self.clear_folder(*dir),
            DiskAction::Remove { file, .. } => self.add(Pending::Removal, Some(file.dir)),
            DiskAction::Read { .. } | DiskAction::List { .. } => {}
        }
    }

    /// What happened since this was asked last.
    pub(crate) fn take_steps(&mut self) -> DiskSteps {
        std::mem::take(&mut self.steps)
    }

    /// What a crash finds now. Nothing of it is the next process's doing.
    pub(crate) fn take_pending(&mut self) -> Vec<Pending> {
        let found = Pending::ALL.iter().copied().filter(|pending| self.has(*pending)).collect();
        *self = Self::default();
        found
    }

    const fn has(&self, pending: Pending) -> bool {
        self.pending >> pending as u16 & 1 == 1
    }

    const fn add(&mut self, pending: Pending, folder: Option<Dir>) {
        self.pending |= 1 << pending as u16;
        self.folders[pending as usize] = folder;
    }

    fn clear(&mut self, those: &[Pending]) {
        those.iter().for_each(|pending| self.pending &= !(1 << *pending as u16));
    }

    fn clear_folder(&mut self, dir: Dir) {
        for (place, folder) in self.folders.iter_mut().enumerate() {
            if *folder == Some(dir) {
                *folder = None;
                self.pending &= !(1 << place);
            }
        }
    }
}

const fn bytes_of(file: EpochFile) -> Pending {
    match file {
        EpochFile::Accepted => Pending::AcceptedBytes,
        EpochFile::Current => Pending::CurrentBytes,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vivarium_core::ids::{OpId, Zxid};
    use vivarium_core::server::input::Queue;
    use vivarium_core::storage::files::FileName;

    use super::*;

    const OP: OpId = OpId(1);
    const QUEUE: Queue = Queue::Log;

    fn write(file: FileName, offset: u64) -> DiskAction {
        DiskAction::Write { op: OP, queue: QUEUE, file, offset, bytes: Bytes::new() }
    }

    fn sync(file: FileName) -> DiskAction {
        DiskAction::SyncFile { op: OP, queue: QUEUE, file }
    }

    #[test]
    fn a_crash_finds_what_was_done_and_is_not_durable() {
        let mut disk = DiskProgress::default();
        let log = FileName::log(Dir::Log, Zxid(1));
        disk.did(&write(log.clone(), 0));
        assert!(disk.take_steps().rolled);
        disk.did(&sync(log.clone()));
        assert_eq!(disk.clone().take_pending(), [Pending::LogName]);
        disk.did(&DiskAction::SyncDir { op: OP, queue: QUEUE, dir: Dir::Data });
        assert_eq!(disk.clone().take_pending(), [Pending::LogName], "another folder");
        disk.did(&DiskAction::SyncDir { op: OP, queue: QUEUE, dir: Dir::Log });
        assert!(disk.clone().take_pending().is_empty());

        disk.did(&write(log.clone(), 900));
        disk.did(&DiskAction::SetLen { op: OP, queue: QUEUE, file: log, len: 900 });
        let file = EpochFile::Current;
        disk.did(&write(file.tmp(), 0));
        disk.did(&sync(file.tmp()));
        disk.did(&DiskAction::Rename { op: OP, queue: QUEUE, from: file.tmp(), to: file.name() });
        let steps = disk.take_steps();
        assert!(steps.cut && !steps.rolled, "{steps:?}");
        let found = [Pending::LogBytes, Pending::LogCut, Pending::CurrentName];
        assert_eq!(disk.take_pending(), found);
        assert!(disk.take_pending().is_empty());
    }
}
