use vivarium_core::ids::{OpId, ReadId};
use vivarium_core::server::input::Queue;

use super::*;

struct Rig {
    _folder: tempfile::TempDir,
    files: RealFiles,
}

const OP: OpId = OpId(1);
const QUEUE: Queue = Queue::Log;

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_path_buf();
        let places = Places { log_root: at.clone(), data: at.clone(), log: at.join("missing") };
        Self { _folder: folder, files: RealFiles::new(places) }
    }

    fn write(&self, name: &str, offset: u64, bytes: &'static [u8]) {
        let (file, bytes) = (FileName::new(Dir::Data, name), Bytes::from_static(bytes));
        let action = DiskAction::Write { op: OP, queue: QUEUE, file, offset, bytes };
        assert_eq!(self.files.run(&action).unwrap(), None);
    }

    fn read(&self, name: &str, offset: u64, len: u32) -> ReadData {
        let file = FileName::new(Dir::Data, name);
        let action = DiskAction::Read { read: ReadId(1), file, offset, len };
        self.files.run(&action).unwrap().unwrap()
    }

    fn run(&self, action: &DiskAction) -> io::Result<Option<ReadData>> {
        self.files.run(action)
    }
}

fn bytes(text: &'static [u8]) -> ReadData {
    ReadData::Bytes(Bytes::from_static(text))
}

#[test]
fn a_write_beyond_the_end_leaves_zeros() {
    let rig = Rig::new();
    rig.write("log.1", 3, b"abc");
    assert_eq!(rig.read("log.1", 0, 100), bytes(b"\0\0\0abc"));
    assert_eq!(rig.read("log.1", 4, 1), bytes(b"b"));
    assert_eq!(rig.read("log.1", 50, u32::MAX), bytes(b""));
    assert_eq!(rig.read("log.2", 0, 1), ReadData::Missing);
}

#[test]
fn set_len_creates_cuts_and_grows() {
    let rig = Rig::new();
    let set_len = |name, len| {
        let file = FileName::new(Dir::Data, name);
        rig.run(&DiskAction::SetLen { op: OP, queue: QUEUE, file, len }).unwrap();
    };
    rig.write("a", 0, b"abcdef");
    set_len("a", 2);
    set_len("a", 4);
    set_len("b", 1);
    assert_eq!(rig.read("a", 0, 9), bytes(b"ab\0\0"));
    assert_eq!(rig.read("b", 0, 9), bytes(b"\0"));
}

#[test]
fn a_removed_or_replaced_file_is_not_reached_through_an_old_handle() {
    let rig = Rig::new();
    let file = |name| FileName::new(Dir::Data, name);
    rig.write("log.1", 0, b"old");
    assert_eq!(rig.read("log.1", 0, 9), bytes(b"old"));
    let remove = DiskAction::Remove { op: OP, queue: Queue::Snap, file: file("log.1") };
    rig.run(&remove).unwrap();
    rig.run(&remove).expect("removing twice succeeds");
    assert_eq!(rig.read("log.1", 0, 9), ReadData::Missing);
    rig.write("log.1", 0, b"new");
    assert_eq!(rig.read("log.1", 0, 9), bytes(b"new"));

    rig.write("tmp", 0, b"newer");
    let (from, to) = (file("tmp"), file("log.1"));
    rig.run(&DiskAction::Rename { op: OP, queue: QUEUE, from, to }).unwrap();
    assert_eq!(rig.read("log.1", 0, 9), bytes(b"newer"));
    rig.write("log.1", 0, b"N");
    assert_eq!(rig.read("log.1", 0, 9), bytes(b"Newer"));
    assert_eq!(rig.read("tmp", 0, 9), ReadData::Missing);
}

#[test]
fn a_listing_holds_plain_files_in_name_order() {
    let rig = Rig::new();
    rig.write("log.b", 0, b"12");
    rig.write("log.10", 0, b"1");
    fs::create_dir(rig.files.places.data.join("folder")).unwrap();
    let list = |dir| rig.run(&DiskAction::List { read: ReadId(1), dir }).unwrap().unwrap();
    let entry = |name: &str, len| FileEntry { name: name.into(), len };
    assert_eq!(list(Dir::Data), ReadData::Listing(vec![entry("log.10", 1), entry("log.b", 2)]));
    assert_eq!(list(Dir::Log), ReadData::Listing(Vec::new()), "a missing folder is empty");
}

#[test]
fn syncs_succeed_and_a_missing_folder_is_an_error() {
    let rig = Rig::new();
    rig.write("a", 0, b"1");
    let file = FileName::new(Dir::Data, "a");
    rig.run(&DiskAction::SyncFile { op: OP, queue: QUEUE, file }).unwrap();
    rig.run(&DiskAction::SyncDir { op: OP, queue: QUEUE, dir: Dir::Data }).unwrap();
    let missing = rig.run(&DiskAction::SyncDir { op: OP, queue: QUEUE, dir: Dir::Log });
    assert_eq!(fault(&missing.unwrap_err()), DiskFault::Io);
}

#[test]
fn errors_become_what_core_decides_on() {
    for (kind, expected) in [
        (ErrorKind::StorageFull, DiskFault::NoSpace),
        (ErrorKind::QuotaExceeded, DiskFault::NoSpace),
        (ErrorKind::PermissionDenied, DiskFault::Denied),
        (ErrorKind::ReadOnlyFilesystem, DiskFault::Denied),
        (ErrorKind::Other, DiskFault::Io),
    ] {
        assert_eq!(fault(&io::Error::from(kind)), expected);
    }
}

#[test]
fn a_sync_beyond_the_limit_is_slow_and_the_limit_may_change() {
    let slow = SlowSyncs::new(Span::from_ms(1000));
    let judge = |ms| slow.judge(Path::new("log.1"), Duration::from_millis(ms));
    assert!(!judge(1000) && judge(1001));
    slow.set(Span::from_ms(5));
    assert!(!judge(5) && judge(6));
}

#[test]
fn failures_name_the_whole_path() {
    let rig = Rig::new();
    let file = FileName::new(Dir::Data, "log.1");
    let sync = DiskAction::SyncFile { op: OP, queue: QUEUE, file };
    let path = rig._folder.path().join("log.1").display().to_string();
    assert_eq!(rig.files.subject(&sync), path);
}
