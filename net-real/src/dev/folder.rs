//! The folder of an ensemble: for each server its configuration, its data and its log.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::dev::talk::Number;
use crate::failure::Failure;

const PREFIX: &str = "vivarium-dev-";
const LOCK: &str = ".vivarium-dev.lock";
/// Bytes of a log that are looked at for its last lines.
const TAIL: u64 = 4096;
const TAIL_LINES: usize = 5;

/// Ticks that a server may take to join, and to answer.
const INIT_LIMIT: u32 = 20;
pub const SYNC_LIMIT: u32 = 4;
/// ZooKeeper's longest session timeout with its usual tick. A short tick would lower it under what
/// clients ask for.
const MAX_SESSION_MS: u32 = 40_000;
/// Log files of a test are small; the usual 64 MiB for each only fill the disk.
const PRE_ALLOC_KB: u32 = 4096;
/// Loopback answers at once, and after a partition nobody wants to wait for old patience.
const PATIENCE_MS: u32 = 1000;

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Removed when dropped.
    temporary: Option<TempDir>,
    /// Two ensembles in one folder would write each other's configurations.
    _lock: Option<File>,
}

/// The files of one server.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Folder {
    pub fn open(given: Option<&Path>, keep: bool) -> Result<Self, Failure> {
        match given {
            None => {
                let temporary = temporary().map_err(|error| {
                    let parent = std::env::temp_dir();
                    Failure::configuration(format!(
                        "{}: {error}; name a folder with --dir, or another in TMPDIR",
                        parent.display()
                    ))
                })?;
                let path = temporary.path().to_path_buf();
                if keep {
                    let _ = temporary.keep();
                    return Ok(Self { path, temporary: None, _lock: None });
                }
                Ok(Self { path, temporary: Some(temporary), _lock: None })
            }
            Some(path) => {
                let made = fs::create_dir_all(path).and_then(|()| fs::canonicalize(path));
                let path = made.map_err(|error| unusable(path, &error))?;
                let lock = lock(&path)?;
                Ok(Self { path, temporary: None, _lock: Some(lock) })
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn temporary(&self) -> Option<&Path> {
        self.temporary.as_ref().map(TempDir::path)
    }

    pub fn home(&self, number: Number) -> Home {
        Home { root: self.path.join(format!("server-{number}")) }
    }
}

impl Home {
    pub fn config(&self) -> PathBuf {
        self.root.join("zoo.cfg")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub fn has_data(&self) -> bool {
        self.data().join("version-2").exists()
    }

    /// Writes what the server is started with. `first`: nobody in the ensemble holds any data, so
    /// that this server need not hear from all others before it starts from nothing.
    pub fn prepare(&self, number: Number, config: &str, first: bool) -> Result<(), Failure> {
        let data = self.data();
        let write = || {
            fs::create_dir_all(&data)?;
            fs::write(data.join("myid"), format!("{number}\n"))?;
            if first {
                fs::write(data.join("initialize"), "")?;
            }
            fs::write(self.config(), config)
        };
        write().map_err(|error| unusable(&self.root, &error))
    }

    /// Empties the data folder; only `myid` stays.
    pub fn wipe(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.data())? {
            let entry = entry?;
            if entry.file_name() == "myid" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The last lines of the log, to be shown where a server ended by itself.
    pub fn last_words(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ")
    }

    /// `members`: the lines `server.N=..` as this server is to see them.
    pub fn config_text(&self, client: u16, tick_ms: u32, members: &str) -> String {
        let max_session = MAX_SESSION_MS.max(tick_ms.saturating_mul(20));
        let patience = PATIENCE_MS.max(tick_ms);
        let mut text = format!(
            "dataDir={}\nclientPort={client}\nclientPortAddress=127.0.0.1\ntickTime={tick_ms}\n\
             maxSessionTimeout={max_session}\nmaxClientCnxns=0\npreAllocSize={PRE_ALLOC_KB}\n\
             4lw.commands.whitelist=*\n",
            self.data().display()
        );
        if !members.is_empty() {
            // Writing into a String cannot fail.
            let _ = write!(
                text,
                "initLimit={INIT_LIMIT}\nsyncLimit={SYNC_LIMIT}\ncnxTimeout={patience}\n\
                 fastleader.maxNotificationInterval={patience}\n{members}"
            );
        }
        text
    }
}

pub fn temporary() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(PREFIX).tempdir()
}

/// Removes a folder that an ensemble made and could not remove itself. Anything else stays.
pub fn remove_temporary(folder: &Path) {
    let named = folder.file_name().and_then(|name| name.to_str());
    let is_ours = named.is_some_and(|name| name.starts_with(PREFIX));
    if is_ours && folder.parent() == Some(std::env::temp_dir().as_path()) {
        // What stays is only in the way of nobody.
        let _ = fs::remove_dir_all(folder);
    }
}

fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    let mut open = OpenOptions::new();
    let file = open.write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| unusable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::configuration(format!(
            "{}: another ensemble runs in this folder; name another one with --dir",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::configuration(format!("{}: {error}; name another folder with --dir", path.display()))
}

#[cfg(test)]
mod tests {
    use vivarium_core::config::given::{Document, Given};
    use vivarium_core::config::parse::parse;

    use super::*;

    #[test]
    fn what_is_written_is_a_configuration_without_a_warning() {
        let folder = Folder::open(None, false).unwrap();
        let members = "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\nserver.3=127.0.0.1:5:6\n";
        let home = folder.home(Number(1));
        for members in ["", members] {
            let text = home.config_text(7, 500, members);
            let mut given = Given::file("zoo.cfg", &text);
            given.myid = Some(Document { name: "myid".into(), text: "1".into() });
            let parsed = parse(&given, [0; 32]).unwrap();
            assert_eq!(parsed.findings, [], "{text}");
        }
    }

    #[test]
    fn a_wiped_home_keeps_its_number_alone() {
        let folder = Folder::open(None, false).unwrap();
        let path = folder.path().to_path_buf();
        let home = folder.home(Number(2));
        home.prepare(Number(2), "", true).unwrap();
        fs::create_dir(home.data().join("version-2")).unwrap();
        fs::write(home.data().join("version-2/log.1"), "x").unwrap();
        assert!(home.has_data());
        home.wipe().unwrap();
        let left: Vec<_> = fs::read_dir(home.data()).unwrap().flatten().collect();
        assert_eq!(left.iter().map(fs::DirEntry::file_name).collect::<Vec<_>>(), ["myid"]);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_given_folder_stays() {
        let at = tempfile::tempdir().unwrap();
        let given = at.path().join("a/b");
        drop(Folder::open(Some(&given), false).unwrap());
        assert!(given.is_dir());
    }
}
