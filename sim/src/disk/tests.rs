use vivarium_core::ids::ServerId;
use vivarium_core::storage::files::Dir;

use super::*;
use crate::rng::Stream;

fn disk(seed: u64) -> DiskSim {
    let rng = |index| SimRng::new(seed, Stream::Disk, index);
    let machine = Machine::draw(1, ServerId(1), false);
    DiskSim::new(&machine, rng(1), rng(2), |bytes| bytes.len() as u64)
}

fn file() -> FileName {
    FileName::new(Dir::Data, "log.1")
}

fn write(disk: &mut DiskSim) -> DiskEvent {
    let (op, bytes) = (OpId(1), vec![7; 100].into());
    let action = DiskAction::Write { op, queue: Queue::Log, file: file(), offset: 0, bytes };
    disk.submit(SimTime::ZERO, action).1
}

fn read(disk: &mut DiskSim) -> Result<ReadData, DiskFault> {
    let (read, offset, len) = (ReadId(1), 0, 1000);
    let (_, event) =
        disk.submit(SimTime::ZERO, DiskAction::Read { read, file: file(), offset, len });
    match disk.due(event, &mut Vec::new()) {
        Some(DiskDone::Read { result, .. }) => result,
        other => panic!("{other:?}"),
    }
}

/// Bytes of a write of 100 that are in the file, over many disks.
fn left(fault: impl Fn(&mut DiskSim)) -> Vec<usize> {
    (0..40)
        .map(|seed| {
            let mut disk = disk(seed);
            fault(&mut disk);
            match read(&mut disk) {
                Ok(ReadData::Bytes(bytes)) => {
                    assert!(bytes.iter().all(|&byte| byte == 7));
                    bytes.len()
                }
                Ok(ReadData::Missing) => 0,
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

#[test]
fn a_write_that_fails_leaves_a_part_of_itself() {
    let fails = |disk: &mut DiskSim| {
        let event = write(disk);
        let done = disk.due(event, &mut Vec::new());
        assert!(matches!(done, Some(DiskDone::Failed { .. })), "{done:?}");
    };
    let broken = left(|disk| {
        disk.fail_next(Some(FailOp::Write));
        fails(disk);
    });
    let full = left(|disk| {
        disk.set_full(true);
        fails(disk);
    });
    for lengths in [broken, full] {
        assert!(lengths.iter().any(|&len| 0 < len && len < 100), "{lengths:?}");
    }
}

#[test]
fn a_snapshot_may_fail_alone() {
    let mut disk = disk(1);
    disk.fail_next(Some(FailOp::SnapshotWrite));
    let event = write(&mut disk);
    assert!(matches!(disk.due(event, &mut Vec::new()), Some(DiskDone::Op { .. })));
    for fails in [true, false] {
        let (op, file, bytes) =
            (OpId(2), FileName::new(Dir::Data, "snapshot.1.tmp"), vec![7; 9].into());
        let action = DiskAction::Write { op, queue: Queue::Snap, file, offset: 0, bytes };
        let event = disk.submit(SimTime::ZERO, action).1;
        let done = disk.due(event, &mut Vec::new());
        assert_eq!(matches!(done, Some(DiskDone::Failed { .. })), fails, "{done:?}");
    }
}

/// A recovery looks at where a file begins and ends with other eyes.
#[test]
fn rot_often_strikes_where_a_log_begins() {
    let begins = |seed: u64| {
        let mut disk = disk(seed);
        let log = index::tests::log(&(1..=40).collect::<Vec<_>>());
        let (queue, offset, bytes) = (Queue::Log, 0, log.clone().into());
        let write = DiskAction::Write { op: OpId(1), queue, file: file(), offset, bytes };
        let sync = DiskAction::SyncFile { op: OpId(2), queue, file: file() };
        let name = DiskAction::SyncDir { op: OpId(3), queue, dir: file().dir };
        for action in [write, sync, name] {
            let event = disk.submit(SimTime::ZERO, action).1;
            disk.due(event, &mut Vec::new());
        }
        assert!(disk.rot(0));
        let (read, offset, len) = (ReadId(1), 0, log.len() as u32);
        let read = DiskAction::Read { read, file: file(), offset, len };
        let event = disk.submit(SimTime::ZERO, read).1;
        let Some(DiskDone::Read { result: Ok(ReadData::Bytes(bytes)), .. }) =
            disk.due(event, &mut Vec::new())
        else {
            panic!("it can be read")
        };
        let first_two = index::tests::log(&[1, 2]).len();
        bytes[..first_two] != log[..first_two]
    };
    let hits = (0..200).filter(|&seed| begins(seed)).count();
    assert!((10..60).contains(&hits), "{hits} of 200");
}

#[test]
fn a_process_may_die_in_the_middle_of_a_write() {
    let lengths = left(|disk| {
        write(disk);
        disk.crash(CrashKind::Process);
    });
    assert!(lengths.contains(&100), "done as a whole: {lengths:?}");
    assert!(lengths.iter().any(|&len| 0 < len && len < 100), "{lengths:?}");
}

#[test]
fn a_read_fails_once_and_only_while_it_is_meant_to() {
    let mut disk = disk(1);
    disk.fail_next(Some(FailOp::Read));
    let event = write(&mut disk);
    assert!(matches!(disk.due(event, &mut Vec::new()), Some(DiskDone::Op { .. })));
    assert_eq!(read(&mut disk), Err(DiskFault::Io));
    assert!(read(&mut disk).is_ok());
    disk.fail_next(Some(FailOp::Read));
    disk.fail_no_more(FailOp::Write);
    disk.fail_no_more(FailOp::Read);
    assert!(read(&mut disk).is_ok());
}

#[test]
fn a_loaded_disk_is_slow_until_the_load_goes_and_a_stalled_one_silent() {
    let mut disk = disk(1);
    let until = SimTime::from_ms(5_000);
    let quick = |disk: &mut DiskSim| {
        let (file, op, queue) = (file(), OpId(1), Queue::Log);
        disk.submit(SimTime::ZERO, DiskAction::SyncFile { op, queue, file }).0
    };
    let usual = quick(&mut disk);
    disk.load_until(until, 200);
    let loaded = quick(&mut disk).since(usual);
    assert!(loaded > 20 * usual.0 / 2, "{loaded} where {usual} is usual");
    let last = (0..1000).map(|_| quick(&mut disk)).last().expect("a thousand");
    assert!(last < until.plus(1001 * 80_000), "the backlog goes at the usual speed");
    disk.crash(CrashKind::Process);
    disk.stall_until(until);
    assert!(quick(&mut disk) >= until);
    disk.heal();
    disk.crash(CrashKind::Process);
    assert!(quick(&mut disk) < until);
}
