//! The disk threads over files that fail, and the loop over disks that fail.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test panics on what it does not expect")]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use vivarium::clock::Clock;
use vivarium::disk::Disks;
use vivarium::files::Files;
use vivarium::host::{Disk, Host, Machine, Net, Notes};
use vivarium_core::ids::{OpId, ReadId};
use vivarium_core::server::action::{Action, DiskAction, FatalReason, Halt, LinkAction};
use vivarium_core::server::input::{DiskFault, DiskInput, Queue, ReadData};
use vivarium_core::server::note::Note;
use vivarium_core::server::{Input, Outbox};
use vivarium_core::storage::files::{Dir, FileName};
use vivarium_core::time::{Mono, Span, Stamp};

/// Fails on chosen operations; stands still at a chosen one until it is let go.
struct Fake {
    tried: Mutex<Vec<u64>>,
    failing: Vec<(u64, ErrorKind)>,
    gate: Option<(u64, Mutex<Receiver<()>>)>,
}

fn fake(failing: &[(u64, ErrorKind)]) -> Fake {
    Fake { tried: Mutex::default(), failing: failing.to_vec(), gate: None }
}

impl Files for Fake {
    fn run(&self, action: &DiskAction) -> io::Result<Option<ReadData>> {
        let id = match *action {
            DiskAction::Write { op, .. }
            | DiskAction::SetLen { op, .. }
            | DiskAction::SyncFile { op, .. }
            | DiskAction::Rename { op, .. }
            | DiskAction::SyncDir { op, .. }
            | DiskAction::Remove { op, .. } => op.0,
            DiskAction::Read { read, .. } | DiskAction::List { read, .. } => read.0,
        };
        if let Some((at, open)) = &self.gate
            && *at == id
        {
            open.lock().unwrap().recv().unwrap();
        }
        self.tried.lock().unwrap().push(id);
        match self.failing.iter().find(|(failing, _)| *failing == id) {
            Some((_, kind)) => Err(io::Error::from(*kind)),
            None if matches!(action, DiskAction::Read { .. }) => Ok(Some(ReadData::Missing)),
            None => Ok(None),
        }
    }
}

fn file() -> FileName {
    FileName::new(Dir::Data, "log.1")
}

fn write(op: u64, queue: Queue) -> DiskAction {
    let bytes = Bytes::from_static(b"x");
    DiskAction::Write { op: OpId(op), queue, file: file(), offset: op, bytes }
}

fn sync(op: u64, queue: Queue) -> DiskAction {
    DiskAction::SyncFile { op: OpId(op), queue, file: file() }
}

/// Runs the actions as one batch and answers what the server would hear until all is finished.
fn run(files: &Arc<Fake>, actions: Vec<DiskAction>) -> Vec<DiskInput> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut disks = Disks::start(Arc::clone(files)).unwrap();
    actions.into_iter().for_each(|action| disks.carry(action));
    disks.flush();
    disks.stop();
    let mut inbox = Vec::new();
    runtime.block_on(poll_fn(|cx| {
        disks.gather(cx, &mut inbox);
        Poll::Ready(())
    }));
    let disk = |input| match input {
        Input::Disk(input) => input,
        other => panic!("{other:?}"),
    };
    inbox.into_iter().map(disk).collect()
}

fn done(queue: Queue, upto: u64) -> DiskInput {
    DiskInput::Done { queue, upto: OpId(upto) }
}

fn failed(queue: Queue, op: u64, fault: DiskFault) -> DiskInput {
    DiskInput::Failed { queue, op: OpId(op), fault }
}

#[test]
fn syncs_are_told_at_once_and_writes_with_them() {
    use Queue::Log;
    let actions = vec![write(1, Log), write(2, Log), sync(3, Log), write(4, Log), write(5, Log)];
    assert_eq!(run(&Arc::new(fake(&[])), actions), [done(Log, 3), done(Log, 5)]);
}

#[test]
fn after_a_failed_log_operation_nothing_later_is_tried() {
    use Queue::Log;
    let files = Arc::new(fake(&[(3, ErrorKind::StorageFull)]));
    let actions = vec![write(1, Log), sync(2, Log), write(3, Log), sync(4, Log), write(5, Log)];
    let told = run(&files, actions);
    assert_eq!(told, [done(Log, 2), failed(Log, 3, DiskFault::NoSpace)]);
    assert_eq!(*files.tried.lock().unwrap(), [1, 2, 3]);
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    use Queue::Log;
    let files = Arc::new(fake(&[(2, ErrorKind::Other)]));
    let told = run(&files, vec![write(1, Log), sync(2, Log), sync(3, Log)]);
    assert_eq!(told, [done(Log, 1), failed(Log, 2, DiskFault::Io)]);
    assert_eq!(*files.tried.lock().unwrap(), [1, 2]);
}

#[test]
fn after_a_failed_snapshot_operation_the_next_is_tried() {
    use Queue::Snap;
    let files = Arc::new(fake(&[(2, ErrorKind::StorageFull)]));
    let told = run(&files, vec![write(1, Snap), write(2, Snap), sync(3, Snap)]);
    let expected = [done(Snap, 1), failed(Snap, 2, DiskFault::NoSpace), done(Snap, 3)];
    assert_eq!(told, expected);
    assert_eq!(*files.tried.lock().unwrap(), [1, 2, 3]);
}

#[test]
fn reads_and_snapshots_pass_an_append_that_stands_still() {
    let (open, gate) = channel();
    let files = Fake { gate: Some((1, Mutex::new(gate))), ..fake(&[]) };
    let mut disks = Disks::start(Arc::new(files)).unwrap();
    disks.carry(write(1, Queue::Log));
    disks.carry(write(7, Queue::Snap));
    disks.carry(DiskAction::Read { read: ReadId(8), file: file(), offset: 0, len: 1 });
    disks.flush();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut told = Vec::new();
    let mut wait_for = |count: usize, told: &mut Vec<Input>| {
        runtime.block_on(poll_fn(|cx| {
            disks.gather(cx, told);
            if told.len() >= count { Poll::Ready(()) } else { Poll::Pending }
        }));
    };
    wait_for(2, &mut told);
    assert!(!told.contains(&Input::Disk(done(Queue::Log, 1))));
    open.send(()).unwrap();
    wait_for(3, &mut told);
    assert_eq!(told[2], Input::Disk(done(Queue::Log, 1)));
}

/// A network on which nothing happens.
struct Silence;

impl Net for Silence {
    fn carry(&mut self, action: LinkAction) {
        panic!("no script asks for {action:?}");
    }
    fn gather(&mut self, _: &mut Context<'_>, _: &mut Vec<Input>) {}
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// Completes each flushed batch at the next gather, with the answers it was given.
#[derive(Default)]
struct ScriptedDisk {
    carried: Vec<DiskAction>,
    flushes: usize,
    answers: VecDeque<DiskInput>,
}

impl Disk for ScriptedDisk {
    fn carry(&mut self, action: DiskAction) {
        self.carried.push(action);
    }
    fn flush(&mut self) {
        self.flushes += 1;
    }
    fn gather(&mut self, _: &mut Context<'_>, inbox: &mut Vec<Input>) {
        if self.flushes > 0 {
            inbox.extend(self.answers.pop_front().map(Input::Disk));
        }
    }
}

struct Told(Sender<Note>);

impl Notes for Told {
    fn take(&mut self, note: Note) {
        self.0.send(note).unwrap();
    }
}

/// Writes when it is woken at its deadline, and halts on what the disk says.
struct Writer {
    at: Option<Mono>,
    woken: Vec<Mono>,
}

impl Machine for Writer {
    fn step(&mut self, at: Stamp, input: Input, out: &mut Outbox) {
        match input {
            Input::Wake => {
                self.woken.push(at.mono);
                if self.at.is_some_and(|due| due <= at.mono) {
                    self.at = None;
                    out.disk(write(1, Queue::Log));
                    out.disk(sync(2, Queue::Log));
                }
            }
            Input::Disk(DiskInput::Done { .. }) => out.push(Action::Halt(Halt::Stop)),
            Input::Disk(DiskInput::Failed { fault, .. }) => {
                out.note(Note::Halting { restart: None });
                let file = file().to_string();
                out.push(Action::Halt(Halt::Fatal(FatalReason::Disk { file, fault })));
            }
            other => panic!("{other:?}"),
        }
    }
    fn deadline(&self) -> Option<Mono> {
        self.at
    }
}

fn drive(answer: DiskInput) -> (Halt, Vec<Mono>, ScriptedDisk, Vec<Note>) {
    let clock = Clock::start();
    let due = clock.stamp().mono + Span::from_ms(30);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut disk = ScriptedDisk { answers: VecDeque::from([answer]), ..ScriptedDisk::default() };
    let (tell, told) = channel();
    let mut host = Host {
        machine: Writer { at: Some(due), woken: Vec::new() },
        net: &mut Silence,
        disk: &mut disk,
        notes: &mut Told(tell),
        operator: None,
        clock,
    };
    let patience = Duration::from_secs(20);
    let halt = runtime.block_on(async {
        tokio::time::timeout(patience, host.run(Outbox::new())).await.expect("the loop ends")
    });
    let woken = std::mem::take(&mut host.machine.woken);
    assert!(woken.iter().all(|at| *at >= due), "woken before the deadline");
    (halt, woken, disk, told.try_iter().collect())
}

#[test]
fn the_loop_wakes_the_server_at_its_deadline_and_carries_out_in_order() {
    let (halt, woken, disk, _) = drive(done(Queue::Log, 2));
    assert_eq!(halt, Halt::Stop);
    assert_eq!(woken.len(), 1);
    assert_eq!(disk.carried, [write(1, Queue::Log), sync(2, Queue::Log)]);
    assert_eq!(disk.flushes, 2, "one for the batch, one for the halt");
}

#[test]
fn a_failed_append_ends_the_loop_with_the_reason() {
    let (halt, _, _, notes) = drive(failed(Queue::Log, 2, DiskFault::Io));
    let expected = FatalReason::Disk { file: file().to_string(), fault: DiskFault::Io };
    assert_eq!(halt, Halt::Fatal(expected));
    assert_eq!(notes, [Note::Halting { restart: None }], "notes before the halt are not lost");
}
