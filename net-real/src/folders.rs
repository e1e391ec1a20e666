//! The folders of a server: made durable at start, and locked against a second process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use vivarium_core::config::HostConfig;
use vivarium_core::server::action::FatalReason;
use vivarium_core::server::input::DiskFault;

use crate::failure::Failure;
use crate::files::{Places, fault};

/// Lies beside `version-2`, where ZooKeeper does not look.
const LOCK: &str = ".vivarium.lock";
pub(crate) const VERSION: &str = "version-2";
const MYID: &str = "myid";

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
        let mut locks = vec![prepare(&data, config)?];
        if log_root != data {
            locks.push(prepare(&log_root, config)?);
        }
        if let Some(id) = config.new_myid {
            let file = data.join(MYID);
            write_durably(&file, &format!("{id}\n")).map_err(|error| of_folder(&file, &error))?;
            tracing::info!(file = %file.display(), %id, "myid written, as ZOO_MY_ID says");
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

fn prepare(folder: &Path, config: &HostConfig) -> Result<File, Failure> {
    let inside = folder.join(VERSION);
    if !config.create_folders && !inside.is_dir() {
        return Err(Failure::configuration(format!(
            "{}: there is no such folder, and datadir.autocreate=false forbids to make it; check \
             that the right disk is mounted, or make the folder",
            inside.display()
        )));
    }
    make(&inside).map_err(|error| of_folder(&inside, &error))?;
    lock(&folder.join(LOCK)).map_err(|error| match error {
        TryLockError::WouldBlock => Failure::configuration(format!(
            "{}: another vivarium{} runs on this folder; stop it, or use another dataDir",
            folder.display(),
            holder(&folder.join(LOCK))
        )),
        TryLockError::Error(error) => of_folder(&folder.join(LOCK), &error),
    })
}

/// What keeps a start from its folder: the disk, or how things were set up.
fn of_folder(path: &Path, error: &io::Error) -> Failure {
    let file = path.display().to_string();
    match fault(error) {
        DiskFault::NoSpace => {
            let why = FatalReason::Disk { file, fault: DiskFault::NoSpace };
            Failure::running(why.to_string())
        }
        DiskFault::Denied | DiskFault::Io => Failure::configuration(format!(
            "{file}: {error}; make the folder, or give this user the right to"
        )),
    }
}

fn write_durably(file: &Path, text: &str) -> io::Result<()> {
    let mut handle = File::create(file)?;
    handle.write_all(text.as_bytes())?;
    handle.sync_all()?;
    File::open(file.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Creates the folder and makes each name on the way durable, also one that an earlier start made
/// and did not live to sync.
fn make(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if !folder.is_dir() {
        if let Some(parent) = parent {
            make(parent)?;
        }
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
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
    use vivarium_core::ids::ServerId;

    use super::*;

    fn config(data: &Path, log: &Path) -> HostConfig {
        let text = |path: &Path| path.to_str().unwrap().to_string();
        HostConfig { data_dir: text(data), data_log_dir: text(log), ..HostConfig::with_defaults() }
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
    fn myid_is_written_where_a_variable_names_it() {
        let at = tempfile::tempdir().unwrap();
        let mut config = config(at.path(), at.path());
        config.new_myid = Some(ServerId(7));
        let _held = Folders::open(&config).unwrap();
        assert_eq!(fs::read_to_string(at.path().join("myid")).unwrap(), "7\n");
    }

    #[test]
    fn a_folder_in_use_is_seen_without_a_trace() {
        let at = tempfile::tempdir().unwrap();
        assert_eq!(running_on(at.path()), None);
        assert!(!at.path().join(LOCK).exists());
        let held_here = Folders::open(&config(at.path(), at.path())).unwrap();
        assert_eq!(running_on(at.path()), Some(format!(" (process {})", std::process::id())));
        drop(held_here);
        assert_eq!(running_on(at.path()), None);
    }

    #[test]
    fn a_missing_folder_is_not_made_where_that_is_forbidden() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().join("mounted");
        let config = HostConfig { create_folders: false, ..config(&data, &data) };
        let refused = Folders::open(&config).unwrap_err().to_string();
        assert!(refused.contains("datadir.autocreate=false"), "{refused}");
        assert!(!data.exists());
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_a_wrong_configuration() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().join("file");
        fs::write(&data, "").unwrap();
        let refused = Folders::open(&config(&data, &data)).unwrap_err();
        assert!(refused.to_string().contains("make the folder"), "{refused}");
    }
}
