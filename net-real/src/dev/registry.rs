//! Names of running ensembles: how a command finds the one that it is meant for.
//!
//! One folder of the user's own holds `NAME.lock` and `NAME.sock` of each. The lock is held by the
//! process that runs the ensemble, so whether one lives needs no guessing, and what a killed one has
//! left behind is removed by the next.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::dev::folder;
use crate::failure::Failure;

/// Tried one after the other where no name is given.
const NAMES: u32 = 100;
/// How often, and how far apart, a lock is tried before it counts as held.
const LOOKS: u32 = 3;
const GLANCE: Duration = Duration::from_millis(2);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let starts = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if starts && text.len() <= 32 && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err("write up to 32 letters, digits, '-', '_' or '.', a letter or digit first".into())
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What stands in a lock file.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    /// Removed with the ensemble, or by the next one if this one was killed.
    temporary: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Registry {
    folder: PathBuf,
}

/// A name that is ours while this lives.
#[derive(Debug)]
pub struct Claim {
    pub name: Name,
    pub socket: PathBuf,
    lock: PathBuf,
    file: File,
}

impl Registry {
    pub fn open() -> Result<Self, Failure> {
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_dir());
        let uid = geteuid().as_raw();
        let folder = match own {
            Some(dir) => dir.join("vivarium-dev"),
            None => std::env::temp_dir().join(format!("vivarium-dev-{uid}")),
        };
        Self::at(folder, uid)
    }

    fn at(folder: PathBuf, uid: u32) -> Result<Self, Failure> {
        let failed = |what: &dyn std::fmt::Display| {
            Failure::configuration(format!(
                "{}: {what}; remove it, or name another folder in XDG_RUNTIME_DIR",
                folder.display()
            ))
        };
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&error));
            }
            Ok(()) | Err(_) => {}
        }
        // Whoever may write here may steer our servers and have folders removed.
        let found = fs::symlink_metadata(&folder).map_err(|error| failed(&error))?;
        if !found.is_dir() || found.uid() != uid || found.mode() & 0o077 != 0 {
            return Err(failed(&"is not a folder that only this user may enter"));
        }
        Ok(Self { folder })
    }

    /// Takes the name, or the first that is free.
    pub fn claim(&self, wanted: Option<&Name>) -> Result<Claim, Failure> {
        self.sweep();
        if let Some(name) = wanted {
            return self.take(name)?.ok_or_else(|| {
                Failure::configuration(format!(
                    "an ensemble named {name} runs already; choose another --name, or look at it \
                     with: vivarium dev status --name {name}"
                ))
            });
        }
        for count in 1..=NAMES {
            let name = if count == 1 { "dev".to_owned() } else { format!("dev-{count}") };
            if let Some(claim) = self.take(&Name(name))? {
                return Ok(claim);
            }
        }
        Err(Failure::configuration(format!(
            "{NAMES} ensembles run already; give this one a --name"
        )))
    }

    /// The socket of the ensemble that is meant.
    pub fn find(&self, wanted: Option<&Name>) -> Result<PathBuf, Failure> {
        let running = self.running();
        let socket = |name: &Name| self.folder.join(format!("{name}.sock"));
        let start = "start one with: vivarium dev";
        match (wanted, running.as_slice()) {
            (Some(name), names) if names.contains(name) => Ok(socket(name)),
            (Some(name), []) => {
                Err(Failure::configuration(format!("no ensemble named {name} runs; {start}")))
            }
            (Some(name), names) => Err(Failure::configuration(format!(
                "no ensemble named {name} runs, but: {}",
                listed(names)
            ))),
            (None, []) => Err(Failure::configuration(format!("no ensemble runs; {start}"))),
            (None, [only]) => Ok(socket(only)),
            (None, names) => Err(Failure::configuration(format!(
                "several ensembles run; choose one with --name: {}",
                listed(names)
            ))),
        }
    }

    fn running(&self) -> Vec<Name> {
        let mut names: Vec<_> =
            self.names().into_iter().filter(|name| is_held(&self.lock(name))).collect();
        names.sort();
        names
    }

    fn names(&self) -> Vec<Name> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".lock")?.parse().ok());
        names.collect()
    }

    fn lock(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.lock"))
    }

    /// `None`: somebody holds it.
    fn take(&self, name: &Name) -> Result<Option<Claim>, Failure> {
        let lock = self.lock(name);
        let failed = |error: io::Error| {
            Failure::configuration(format!("{}: {error}; check its folder", lock.display()))
        };
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false);
        let mut looks = 0;
        loop {
            let file = open.open(&lock).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                // Somebody who only looks holds it for a moment.
                Err(TryLockError::WouldBlock) if looks < LOOKS => {
                    looks += 1;
                    std::thread::sleep(GLANCE);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Its holder may have removed the file between our two steps.
            let ours = file.metadata().map_err(failed)?.ino();
            if fs::metadata(&lock).is_ok_and(|now| now.ino() == ours) {
                let socket = self.folder.join(format!("{name}.sock"));
                return Ok(Some(Claim { name: name.clone(), socket, lock, file }));
            }
        }
    }

    /// Removes what ensembles have left whose process was killed.
    fn sweep(&self) {
        for name in self.names() {
            if is_held(&self.lock(&name)) {
                continue;
            }
            let Ok(Some(mut left)) = self.take(&name) else { continue };
            if let Some(folder) = left.holder().and_then(|holder| holder.temporary) {
                folder::remove_temporary(&folder);
            }
        }
    }
}

impl Claim {
    /// Says who holds it, and what is to be removed should it be killed.
    pub fn describe(&mut self, temporary: Option<&Path>) -> io::Result<()> {
        let holder =
            Holder { pid: std::process::id(), temporary: temporary.map(Path::to_path_buf) };
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&serde_json::to_vec(&holder)?)
    }

    fn holder(&mut self) -> Option<Holder> {
        let mut text = String::new();
        self.file.rewind().and_then(|()| self.file.read_to_string(&mut text)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While the lock is held; what cannot be removed is found unlocked by the next one.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.lock);
    }
}

fn is_held(lock: &Path) -> bool {
    let held = |file: File| matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    File::open(lock).is_ok_and(held)
}

fn listed(names: &[Name]) -> String {
    names.iter().map(Name::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(at: &Path) -> Registry {
        Registry::at(at.join("names"), geteuid().as_raw()).unwrap()
    }

    #[test]
    fn names_are_counted_up_and_given_back() {
        let at = tempfile::tempdir().unwrap();
        let names = registry(at.path());
        assert!(names.find(None).unwrap_err().to_string().starts_with("no ensemble runs"));
        let first = names.claim(None).unwrap();
        assert_eq!(names.find(None).unwrap(), first.socket);
        let second = names.claim(None).unwrap();
        assert_eq!(
            (first.name.to_string(), second.name.to_string()),
            ("dev".into(), "dev-2".into())
        );
        let several = names.find(None).unwrap_err().to_string();
        assert!(several.ends_with("--name: dev, dev-2"), "{several}");
        assert_eq!(names.find(Some(&second.name)).unwrap(), second.socket);
        assert!(names.claim(Some(&second.name)).is_err(), "it is taken");
        let name = second.name.clone();
        drop(second);
        assert!(names.find(Some(&name)).is_err());
        names.claim(Some(&name)).unwrap();
    }

    #[test]
    fn what_a_killed_ensemble_left_is_removed() {
        let at = tempfile::tempdir().unwrap();
        let names = registry(at.path());
        let left = folder::temporary().unwrap().keep();
        fs::write(left.join("file"), "x").unwrap();
        let other = at.path().join("precious");
        fs::create_dir(&other).unwrap();
        for (name, folder) in [("a", &left), ("b", &other)] {
            let mut claim = names.take(&Name(name.into())).unwrap().unwrap();
            claim.describe(Some(folder)).unwrap();
            // As a kill leaves it: unlocked, not removed.
            claim.file.unlock().unwrap();
            std::mem::forget(claim);
        }
        drop(names.claim(None).unwrap());
        assert!(!left.exists());
        assert!(other.exists(), "only what `vivarium dev` made is removed");
        assert!(names.names().is_empty());
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let at = tempfile::tempdir().unwrap();
        let folder = at.path().join("open");
        DirBuilder::new().mode(0o755).create(&folder).unwrap();
        assert!(Registry::at(folder, geteuid().as_raw()).is_err());
        assert!(Registry::at(at.path().join("own"), geteuid().as_raw() + 1).is_err());
    }

    #[test]
    fn names_are_plain() {
        for wrong in ["", ".x", "-x", "a/b", "a b", &"x".repeat(33)] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong:?}");
        }
        assert!("my-test_1.2".parse::<Name>().is_ok());
    }
}
