//! Disk work on threads: one for each queue of core, one for reads, so that neither a long snapshot
//! nor a read ever stands before an append.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use vivarium_core::ids::{OpId, ReadId};
use vivarium_core::server::Input;
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{DiskInput, Queue, ReadData};

use crate::files::{Files, fault};
use crate::host::Disk;

/// The three workers of one incarnation of a server.
#[derive(Debug)]
pub struct Disks {
    log: Worker,
    snap: Worker,
    reads: Worker,
    done: UnboundedReceiver<DiskInput>,
    trouble: Trouble,
}

/// The file whose log operation failed, for the line that the server ends with.
#[derive(Clone, Debug, Default)]
struct Trouble(Arc<OnceLock<String>>);

impl Trouble {
    fn set(&self, file: String) {
        // Nothing is tried after the first failure.
        let _ = self.0.set(file);
    }
}

/// Where a worker reports to.
#[derive(Clone, Debug)]
struct Reports {
    done: UnboundedSender<DiskInput>,
    trouble: Trouble,
}

#[derive(Debug)]
struct Worker {
    batch: Vec<DiskAction>,
    /// `None` once it was told to end.
    jobs: Option<mpsc::Sender<Vec<DiskAction>>>,
    thread: Option<JoinHandle<()>>,
}

impl Disks {
    pub fn start(files: Arc<impl Files>) -> io::Result<Self> {
        let (tell, done) = unbounded_channel();
        let trouble = Trouble::default();
        let tell = Reports { done: tell, trouble: trouble.clone() };
        let log = Worker::start("disk-log", &files, &tell, work_log)?;
        let snap = Worker::start("disk-snap", &files, &tell, work_snap)?;
        let reads = Worker::start("disk-reads", &files, &tell, work_reads)?;
        Ok(Self { log, snap, reads, done, trouble })
    }

    /// The file that a fatal failure of the log queue was about.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.0.get().cloned()
    }

    /// Waits until everything that was flushed is carried out. Recovery needs a quiet folder.
    pub fn stop(&mut self) {
        for worker in [&mut self.log, &mut self.snap, &mut self.reads] {
            worker.jobs = None;
        }
        for worker in [&mut self.log, &mut self.snap, &mut self.reads] {
            if let Some(thread) = worker.thread.take() {
                thread.join().expect("a disk thread reports errors and never panics");
            }
        }
    }
}

impl Disk for Disks {
    fn carry(&mut self, action: DiskAction) {
        match work_of(&action) {
            Work::Op(_, Queue::Log) => self.log.batch.push(action),
            Work::Op(_, Queue::Snap) => self.snap.batch.push(action),
            Work::Read(_) => self.reads.batch.push(action),
        }
    }

    fn flush(&mut self) {
        for worker in [&mut self.log, &mut self.snap, &mut self.reads] {
            worker.flush();
        }
    }

    fn gather(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<Input>) {
        while let Poll::Ready(Some(done)) = self.done.poll_recv(cx) {
            inbox.push(Input::Disk(done));
        }
    }
}

impl Worker {
    fn start<F: Files>(
        name: &str,
        files: &Arc<F>,
        tell: &Reports,
        work: fn(&F, &Jobs, &Reports),
    ) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel();
        let (files, tell) = (Arc::clone(files), tell.clone());
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || work(&files, &Jobs { todo }, &tell))?;
        Ok(Self { batch: Vec::new(), jobs: Some(jobs), thread: Some(thread) })
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = mem::take(&mut self.batch);
        // A thread that stopped after a failure has told the server, which halts.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(batch));
    }
}

/// What is to be done, batch by batch.
#[derive(Debug)]
struct Jobs {
    todo: mpsc::Receiver<Vec<DiskAction>>,
}

impl Jobs {
    /// Everything that waits, or the next that comes; `None` at the end.
    fn next(&self) -> Option<VecDeque<DiskAction>> {
        let mut batch = VecDeque::from(self.todo.recv().ok()?);
        while let Ok(more) = self.todo.try_recv() {
            batch.extend(more);
        }
        Some(batch)
    }
}

enum Work {
    Op(OpId, Queue),
    Read(ReadId),
}

fn work_of(action: &DiskAction) -> Work {
    match *action {
        DiskAction::Write { op, queue, .. }
        | DiskAction::SetLen { op, queue, .. }
        | DiskAction::SyncFile { op, queue, .. }
        | DiskAction::Rename { op, queue, .. }
        | DiskAction::SyncDir { op, queue, .. }
        | DiskAction::Remove { op, queue, .. } => Work::Op(op, queue),
        DiskAction::Read { read, .. } | DiskAction::List { read, .. } => Work::Read(read),
    }
}

/// Log and epoch files: after a failure nothing later is tried.
fn work_log<F: Files>(files: &F, jobs: &Jobs, tell: &Reports) {
    while let Some(batch) = jobs.next() {
        if run_queue(files, batch, Queue::Log, tell).is_err() {
            return;
        }
    }
}

/// Snapshots and purges: core drops a failed snapshot itself and goes on.
fn work_snap<F: Files>(files: &F, jobs: &Jobs, tell: &Reports) {
    while let Some(mut batch) = jobs.next() {
        while let Err(rest) = run_queue(files, batch, Queue::Snap, tell) {
            batch = rest;
        }
    }
}

/// Runs a batch in order. After a failure it returns what was not tried.
fn run_queue<F: Files>(
    files: &F,
    mut batch: VecDeque<DiskAction>,
    queue: Queue,
    tell: &Reports,
) -> Result<(), VecDeque<DiskAction>> {
    // Nobody listens any more once the server is dropped; the work is finished all the same.
    let Reports { done, trouble } = tell;
    let tell = |input| drop(done.send(input));
    let mut untold = None;
    while let Some(action) = batch.pop_front() {
        let Work::Op(op, _) = work_of(&action) else {
            unreachable!("reads are routed to the thread of reads")
        };
        if let Err(error) = files.run(&action) {
            let file = files.subject(&action);
            tracing::error!(file, ?queue, %error, "disk operation failed");
            if queue == Queue::Log {
                trouble.set(file);
            }
            if let Some(upto) = untold {
                tell(DiskInput::Done { queue, upto });
            }
            tell(DiskInput::Failed { queue, op, fault: fault(&error) });
            return Err(batch);
        }
        // Promises wait for syncs: tell of each at once, and of the rest at the end.
        if is_sync(&action) || batch.is_empty() {
            tell(DiskInput::Done { queue, upto: op });
            untold = None;
        } else {
            untold = Some(op);
        }
    }
    Ok(())
}

fn is_sync(action: &DiskAction) -> bool {
    matches!(action, DiskAction::SyncFile { .. } | DiskAction::SyncDir { .. })
}

fn work_reads<F: Files>(files: &F, jobs: &Jobs, tell: &Reports) {
    while let Some(batch) = jobs.next() {
        for action in batch {
            let Work::Read(read) = work_of(&action) else {
                unreachable!("only reads and listings are routed to this thread")
            };
            let result = match files.run(&action) {
                Ok(data) => Ok(data.unwrap_or(ReadData::Missing)),
                Err(error) => {
                    let file = files.subject(&action);
                    tracing::error!(file, %error, "reading failed");
                    Err(fault(&error))
                }
            };
            let _ = tell.done.send(DiskInput::ReadDone { read, result });
        }
    }
}
