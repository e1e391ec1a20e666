//! The loop: gather inputs, step, carry out actions, sleep until the deadline.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};
use vivarium_core::server::action::{Action, DiskAction, Halt, LinkAction};
use vivarium_core::server::note::Note;
use vivarium_core::server::{Input, Outbox, Server};
use vivarium_core::time::{Mono, Stamp};

use crate::clock::{Clock, now};
use crate::operator::Operator;

/// What the loop drives: a [`Server`], or a script in tests.
pub trait Machine {
    fn step(&mut self, at: Stamp, input: Input, out: &mut Outbox);
    fn deadline(&self) -> Option<Mono>;
}

impl Machine for Server {
    fn step(&mut self, at: Stamp, input: Input, out: &mut Outbox) {
        Self::step(self, at, input, out);
    }

    fn deadline(&self) -> Option<Mono> {
        Self::deadline(self).map(|(at, _why)| at)
    }
}

/// Connections. What happens on them is collected by `gather`, which also registers for the next wake.
pub trait Net {
    fn carry(&mut self, action: LinkAction);
    fn gather(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<Input>);
    /// When it wants another `gather` even if nothing wakes it.
    fn deadline(&self) -> Option<Instant>;
}

/// Files. Actions are collected by `carry` and begin at `flush`.
pub trait Disk {
    fn carry(&mut self, action: DiskAction);
    fn flush(&mut self);
    fn gather(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<Input>);
}

/// Where notes go.
pub trait Notes {
    fn take(&mut self, note: Note);
}

/// One incarnation of a server and everything it runs on.
#[derive(Debug)]
pub struct Host<'a, M, N, D, L> {
    pub machine: M,
    pub net: &'a mut N,
    pub disk: &'a mut D,
    pub notes: &'a mut L,
    /// `None` in tests.
    pub operator: Option<&'a mut Operator>,
    pub clock: Clock,
}

/// Rounds of work before the runtime looks at the kernel again.
const ROUNDS: usize = 4;

impl<M: Machine, N: Net, D: Disk, L: Notes> Host<'_, M, N, D, L> {
    /// Runs until the server halts. `first` holds what recovery ended with.
    pub async fn run(&mut self, first: Outbox) -> Halt {
        let mut alarm = Alarm::new();
        let mut inbox = Vec::new();
        let mut out = first;
        let mut halted = None;
        poll_fn(|cx| {
            for _ in 0..ROUNDS {
                self.carry_out(&mut out, &mut halted);
                if let Some(halt) = halted.take() {
                    return Poll::Ready(halt);
                }
                self.gather(cx, &mut inbox);
                if inbox.is_empty() && !self.wake_is_due(&mut alarm, cx, &mut inbox) {
                    return Poll::Pending;
                }
                // One look at the clocks per batch: its inputs have been read at this moment.
                let at = self.clock.stamp();
                for input in inbox.drain(..) {
                    self.machine.step(at, input, &mut out);
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    fn gather(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<Input>) {
        if let Some(operator) = &mut self.operator {
            operator.poll(cx, inbox);
        }
        self.disk.gather(cx, inbox);
        self.net.gather(cx, inbox);
        // A busy server must meet its deadlines too.
        if !inbox.is_empty() && self.server_is_due() {
            inbox.push(Input::Wake);
        }
    }

    fn server_is_due(&self) -> bool {
        self.machine.deadline().is_some_and(|at| at <= self.clock.stamp().mono)
    }

    /// Sleeps, or puts a Wake into the inbox.
    fn wake_is_due(
        &mut self,
        alarm: &mut Alarm,
        cx: &mut Context<'_>,
        inbox: &mut Vec<Input>,
    ) -> bool {
        loop {
            if self.server_is_due() {
                inbox.push(Input::Wake);
                return true;
            }
            let server = self.machine.deadline().map(|at| self.clock.instant(at));
            let Some(at) = [server, self.net.deadline()].into_iter().flatten().min() else {
                return false;
            };
            if alarm.poll(at, cx).is_pending() {
                return false;
            }
            self.net.gather(cx, inbox);
            if !inbox.is_empty() {
                return true;
            }
        }
    }

    fn carry_out(&mut self, out: &mut Outbox, halted: &mut Option<Halt>) {
        if out.is_empty() {
            return;
        }
        for action in out.drain() {
            match action {
                Action::Link(action) => self.net.carry(action),
                Action::Disk(action) => self.disk.carry(action),
                Action::Admin { ask, answer } => tracing::debug!(%ask, answer),
                Action::Note(note) => self.notes.take(note),
                Action::Halt(halt) => *halted = Some(halt),
            }
        }
        self.disk.flush();
    }
}

/// A sleep that is moved only when it would ring too late: an early ring is harmless.
#[derive(Debug)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: None }
    }

    /// Ready once `at` has passed.
    fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at.into())));
        if sleep.deadline() > at.into() || sleep.is_elapsed() {
            sleep.as_mut().reset(at.into());
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if at <= now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at.into());
        }
        Poll::Pending
    }
}
