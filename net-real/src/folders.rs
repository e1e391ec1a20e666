//! The folders of a server: made durable at start, and locked against a second process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use vivarium_core::config::parse::HostConfig;

use crate::failure::Failure;
use crate::files::Places;

/// Lies beside `version-2`, where ZooKeeper does not look.
const LOCK: &str = ".vivarium.lock";
pub(crate) const VERSION: &str = "version-2";

/// Locked while it lives.
#[derive(Debug)]
pub struct Folders {
    pub places: Places,
    _locks: Vec<File>,
}

impl Folders {
    pub fn open(config: &HostConfig) -> Result<Self, Failure> {
        let data = PathBuf::from(&config.data_dir);
        let log_root = PathBuf::from(&config.data_log_dir);
        let mut locks = vec![prepare(&data)?];
        if log_root != data {
            locks.push(prepare(&log_root)?);
        }
        let places = Places { data: data.join(VERSION), log: log_root.join(VERSION), log_root };
        Ok(Self { places, _locks: locks })
    }
}

/// The process that runs on a folder, if one of ours does: its number, as far as it can be told.
/// Looks without writing; nobody who starts at the same moment waits longer than this look.
pub fn running_on(folder: &Path) -> Option<String> {
    let file = folder.join(LOCK);
    match File::open(&file).ok()?.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(holder(&file)),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// The text of `dataDir/myid`; `None` where there is none.
pub fn read_myid(data_dir: &Path) -> Result<Option<String>, Failure> {
    let file = data_dir.join("myid");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::configuration(format!(
            "{}: {error}; write the number of this server into it",
            file.display()
        ))),
    }
}

fn prepare(folder: &Path) -> Result<File, Failure> {
    let inside = folder.join(VERSION);
    make(&inside).map_err(|error| {
        Failure::configuration(format!(
            "{}: {error}; create it, or give this user the right to",
            inside.display()
        ))
    })?;
    lock(&folder.join(LOCK)).map_err(|error| match error {
        TryLockError::WouldBlock => Failure::configuration(format!(
            "{}: another vivarium{} runs on this folder; stop it, or use another dataDir",
            folder.display(),
            holder(&folder.join(LOCK))
        )),
        TryLockError::Error(error) => Failure::configuration(format!(
            "{}: {error}; check owner and mode of the folder",
            folder.join(LOCK).display()
        )),
    })
}

/// Creates the folder and makes each new name on the way durable.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn lock(file: &Path) -> Result<File, TryLockError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file);
    let mut handle = open.map_err(TryLockError::Error)?;
    handle.try_lock()?;
    // Only the person who meets the lock reads the number.
    let _ = handle.set_len(0).and_then(|()| handle.rewind());
    let _ = writeln!(handle, "{}", std::process::id());
    Ok(handle)
}

/// The process that holds the lock, as far as it can be told.
fn holder(file: &Path) -> String {
    let mut text = String::new();
    let read = File::open(file).and_then(|mut file| file.read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!(" (process {pid})"),
        (Ok(_) | Err(_), _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data: &Path, log: &Path) -> HostConfig {
        let text = |path: &Path| path.to_str().unwrap().to_string();
        HostConfig { data_dir: text(data), data_log_dir: text(log), client: None }
    }

    #[test]
    fn folders_are_made_and_held_until_dropped() {
        let at = tempfile::tempdir().unwrap();
        let (data, log) = (at.path().join("a/data"), at.path().join("log"));
        let held = Folders::open(&config(&data, &log)).unwrap();
        assert!(data.join(VERSION).is_dir() && log.join(VERSION).is_dir());
        let refused = Folders::open(&config(&data, &data)).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        let shared_log = Folders::open(&config(&at.path().join("other"), &log));
        assert!(shared_log.is_err(), "the log folder is locked too");
        drop(held);
        Folders::open(&config(&data, &log)).unwrap();
    }

    #[test]
    fn myid_may_be_missing() {
        let at = tempfile::tempdir().unwrap();
        assert_eq!(read_myid(at.path()).unwrap(), None);
        fs::write(at.path().join("myid"), "7\n").unwrap();
        assert_eq!(read_myid(at.path()).unwrap().as_deref(), Some("7\n"));
    }
}
