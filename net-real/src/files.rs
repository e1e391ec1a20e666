//! One disk operation at a time, on the folders of a server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use vivarium_core::config::HostConfig;
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{DiskFault, FileEntry, ReadData};
use vivarium_core::storage::files::{Dir, FileName};
use vivarium_core::time::Span;

use crate::clock::now;

/// What the disk threads work on: the real folders, or a fake that fails.
pub trait Files: Send + Sync + 'static {
    /// Carries out one operation, complete when it returns. Only reads and listings answer data.
    fn run(&self, action: &DiskAction) -> io::Result<Option<ReadData>>;

    /// The file or folder that an operation is about, for people.
    fn subject(&self, action: &DiskAction) -> String {
        subject(action)
    }
}

/// Watches how long fsyncs take. Apache: `fsync.warningthresholdms`.
#[derive(Debug)]
pub struct SlowSyncs {
    threshold_ms: AtomicU64,
}

impl SlowSyncs {
    pub fn new(threshold: Span) -> Self {
        Self { threshold_ms: AtomicU64::new(threshold.as_ms()) }
    }

    pub fn set(&self, threshold: Span) {
        self.threshold_ms.store(threshold.as_ms(), Ordering::Relaxed);
    }

    /// Logs it where it was slow, and says whether it was.
    fn judge(&self, file: &Path, took: Duration) -> bool {
        let took_ms = took.as_millis() as u64;
        let limit_ms = self.threshold_ms.load(Ordering::Relaxed);
        let slow = took_ms > limit_ms;
        if slow {
            let file = file.display();
            tracing::warn!(%file, took_ms, limit_ms, "slow fsync: every write waits for the disk");
        }
        slow
    }
}

/// Where the folders of core lie.
#[derive(Clone, Debug)]
pub struct Places {
    pub log_root: PathBuf,
    pub data: PathBuf,
    pub log: PathBuf,
}

/// The folders of one server.
#[derive(Debug)]
pub struct RealFiles {
    places: Places,
    slow: Arc<SlowSyncs>,
    writing: Handles,
    reading: Handles,
}

impl RealFiles {
    pub fn new(places: Places) -> Self {
        let slow = Arc::new(SlowSyncs::new(HostConfig::with_defaults().fsync_warning));
        let (writing, reading) = (Handles::default(), Handles::default());
        Self { places, slow, writing, reading }
    }

    /// Slow syncs are judged by this limit, which others may change.
    pub fn watched_by(self, slow: Arc<SlowSyncs>) -> Self {
        Self { slow, ..self }
    }

    fn folder(&self, dir: Dir) -> &PathBuf {
        match dir {
            Dir::LogRoot => &self.places.log_root,
            Dir::Data => &self.places.data,
            Dir::Log => &self.places.log,
        }
    }

    fn path(&self, file: &FileName) -> PathBuf {
        self.folder(file.dir).join(&file.name)
    }

    fn to_write(&self, file: &FileName) -> io::Result<Arc<File>> {
        self.writing.get(file, || {
            OpenOptions::new().write(true).create(true).truncate(false).open(self.path(file))
        })
    }

    /// A handle of a file that was removed or replaced would reach the wrong content.
    fn forget(&self, file: &FileName) {
        self.writing.forget(file);
        self.reading.forget(file);
    }

    fn read(&self, file: &FileName, offset: u64, len: u32) -> io::Result<ReadData> {
        let open = self.reading.get(file, || File::open(self.path(file)));
        let handle = match open {
            Ok(handle) => handle,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ReadData::Missing),
            Err(error) => return Err(error),
        };
        // The length is asked for first: a large `len` must not reserve what the file cannot fill.
        let there = handle.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; u64::from(len).min(there) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match handle.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(ReadData::Bytes(Bytes::from(bytes)))
    }

    fn list(&self, dir: Dir) -> io::Result<ReadData> {
        let entries = match fs::read_dir(self.folder(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(ReadData::Listing(Vec::new()));
            }
            Err(error) => return Err(error),
        };
        let mut listing = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is not text is not ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Links count as what they lead to. A file may vanish while the folder is read; one that
            // cannot be looked at for another reason must not be missing from a history.
            let about = match fs::metadata(entry.path()) {
                Ok(about) => about,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if about.is_file() {
                listing.push(FileEntry { name, len: about.len() });
            }
        }
        listing.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(ReadData::Listing(listing))
    }
}

impl Files for RealFiles {
    fn run(&self, action: &DiskAction) -> io::Result<Option<ReadData>> {
        match action {
            DiskAction::Write { file, offset, bytes, .. } => {
                self.to_write(file)?.write_all_at(bytes, *offset)?;
            }
            DiskAction::SetLen { file, len, .. } => self.to_write(file)?.set_len(*len)?,
            DiskAction::SyncFile { file, .. } => {
                let (handle, began) = (self.to_write(file)?, now());
                handle.sync_data()?;
                self.slow.judge(&self.path(file), now().duration_since(began));
            }
            DiskAction::Rename { from, to, .. } => {
                fs::rename(self.path(from), self.path(to))?;
                self.forget(from);
                self.forget(to);
            }
            DiskAction::SyncDir { dir, .. } => File::open(self.folder(*dir))?.sync_all()?,
            DiskAction::Remove { file, .. } => {
                match fs::remove_file(self.path(file)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
                self.forget(file);
            }
            DiskAction::Read { file, offset, len, .. } => {
                return self.read(file, *offset, *len).map(Some);
            }
            DiskAction::List { dir, .. } => return self.list(*dir).map(Some),
        }
        Ok(None)
    }

    fn subject(&self, action: &DiskAction) -> String {
        let path = match action {
            DiskAction::Write { file, .. }
            | DiskAction::SetLen { file, .. }
            | DiskAction::SyncFile { file, .. }
            | DiskAction::Remove { file, .. }
            | DiskAction::Read { file, .. } => self.path(file),
            DiskAction::Rename { to, .. } => self.path(to),
            DiskAction::SyncDir { dir, .. } | DiskAction::List { dir, .. } => {
                self.folder(*dir).clone()
            }
        };
        path.display().to_string()
    }
}

/// What the error means to core.
pub fn fault(error: &io::Error) -> DiskFault {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
    if full.contains(&error.kind()) {
        DiskFault::NoSpace
    } else if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) {
        DiskFault::Denied
    } else {
        DiskFault::Io
    }
}

/// The file or folder that an operation is about, for people.
pub fn subject(action: &DiskAction) -> String {
    match action {
        DiskAction::Write { file, .. }
        | DiskAction::SetLen { file, .. }
        | DiskAction::SyncFile { file, .. }
        | DiskAction::Remove { file, .. }
        | DiskAction::Read { file, .. } => file.to_string(),
        DiskAction::Rename { to, .. } => to.to_string(),
        DiskAction::SyncDir { dir, .. } | DiskAction::List { dir, .. } => format!("{dir:?}"),
    }
}

/// Open files of recent use, shared by the disk threads.
#[derive(Debug, Default)]
struct Handles {
    /// The latest used is last.
    open: Mutex<Vec<(FileName, Arc<File>)>>,
}

const KEPT: usize = 4;

impl Handles {
    /// Files are opened and closed outside of the lock: on a busy disk either may take long, and
    /// appends must not stand behind the files of a snapshot.
    fn get(
        &self,
        file: &FileName,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        if let Some(known) = self.known(file) {
            return Ok(known);
        }
        let handle = Arc::new(open()?);
        let oldest = self.keep(file.clone(), Arc::clone(&handle));
        drop(oldest);
        Ok(handle)
    }

    fn known(&self, file: &FileName) -> Option<Arc<File>> {
        let mut handles = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = handles.iter().position(|(known, _)| known == file)?;
        handles[at..].rotate_left(1);
        handles.last().map(|(_, handle)| Arc::clone(handle))
    }

    /// Returns what has to go for it. Each file is used by one thread, so that nobody else has
    /// opened it meanwhile.
    fn keep(&self, file: FileName, handle: Arc<File>) -> Option<Arc<File>> {
        let mut handles = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = (handles.len() == KEPT).then(|| handles.remove(0).1);
        handles.push((file, handle));
        oldest
    }

    fn forget(&self, file: &FileName) {
        let mut handles = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = handles.extract_if(.., |(known, _)| known == file).collect();
        drop(handles);
        drop(gone);
    }
}

#[cfg(test)]
mod tests;
