//! What a client will do, and when: drawn as it goes, or listed beforehand.

use crate::ids::SimTime;
use crate::rng::{SimRng, Stream};
use crate::workload::{Operation, Workload};
use crate::zkclient::ClientSpec;

/// How soon a listed operation is tried again that cannot be done yet, in microseconds.
const RETRY_US: u64 = 1_000;

/// Drawn operations of the calm phase, behind a list, have numbers of their own.
const BEHIND_LIST: u64 = 1 << 32;

/// Behind the streams of operations: whether a client begins every connection with a sync, and what it
/// reads behind it.
const GREETS: u64 = u64::MAX;

/// Clients that do, in per mille. What a server owes to a sync it may lack just when it begins to serve.
const GREETERS: u64 = 300;

/// Behind those: whether a client is restless, and what it does as soon as it has a session.
const RESTLESS: u64 = u64::MAX - 1;
const FLIGHTS: u64 = 1 << 52;

/// Behind those: whether a client that returns leaves again at once.
const HOPS: u64 = 1 << 53;

/// Behind those: whether it does not even wait to be let in.
const ASKINGS: u64 = 1 << 54;

/// Clients that are, in per mille, and so of those that never write.
const RESTLESS_CLIENTS: u64 = 60;
const RESTLESS_READERS: u64 = 300;

/// Leaves a connection over which it has just asked for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departure {
    pub(super) after_us: u64,
    /// Nobody knows of its session any more.
    pub(super) dies: bool,
}

/// One operation at its time, or as soon as the client is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    pub at: SimTime,
    pub operation: Operation,
}

/// Where the operations of a client come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operations {
    /// The n-th one is drawn from the client's seed and n.
    Drawn,
    /// So are these, of a mix that never writes: no answer waits behind a write that cannot succeed.
    DrawnReads,
    /// Just these, in order of time; in the calm phase the client goes on with drawn ones.
    Listed(Vec<Timed>),
}

/// The operations of one client, one after the other.
#[derive(Debug)]
pub(super) struct Plan {
    owner: u32,
    seed: u64,
    think_us: u64,
    calm_think_us: u64,
    pipeline: u64,
    /// Of its session.
    timeout_us: u64,
    workload: Workload,
    listed: std::vec::IntoIter<Timed>,
    /// Number of the next one that is drawn; `None` while only listed ones are done.
    draws: Option<u64>,
    next: Next,
    /// What is done at once behind the next one, in the same burst.
    follows: Option<Operation>,
    calm: bool,
    /// What it asks for before anything else on a new connection.
    greeting: Option<Operation>,
    /// Whether it sets its watches again, before that.
    rewatches: bool,
    /// Whether it says again who it is, before anything else.
    shows_itself_again: bool,
    /// It begins sessions, goes elsewhere with them, and leaves them, all the time.
    restless: bool,
    /// It goes back to where it was, and leaves connections also when all is calm.
    returns: bool,
    /// How often it has asked for a session.
    askings: u64,
    /// Connections that it was granted a session on.
    connections: u64,
    /// Those of them with a new session.
    begun: u64,
}

#[derive(Debug)]
enum Next {
    Listed {
        at: SimTime,
        operation: Operation,
    },
    Drawn {
        at: SimTime,
        operation: Operation,
    },
    /// Nothing, unless it becomes calm.
    Nothing,
}

impl Plan {
    /// `calm_think_us`: at least, in the calm phase.
    pub(super) fn new(spec: &ClientSpec, workload: Workload, calm_think_us: u64) -> Self {
        let (listed, draws, workload) = match spec.operations.clone() {
            Operations::Drawn => (Vec::new(), Some(0), workload),
            Operations::DrawnReads => (Vec::new(), Some(0), workload.reads_only()),
            Operations::Listed(listed) => (listed, None, workload),
        };
        let mut rng = SimRng::new(spec.seed, Stream::Operation, GREETS);
        let greets = draws.is_some() && rng.chance(GREETERS);
        let share = match spec.operations {
            Operations::Drawn => RESTLESS_CLIENTS,
            Operations::DrawnReads => RESTLESS_READERS,
            Operations::Listed(_) => 0,
        };
        let mut plan = Self {
            shows_itself_again: draws.is_some() && workload.draw_showing(spec.seed),
            rewatches: draws.is_some() && workload.draw_rewatching(spec.seed),
            greeting: greets.then(|| workload.draw_sync(&mut rng)),
            restless: SimRng::new(spec.seed, Stream::Operation, RESTLESS).chance(share),
            returns: spec.returns && draws.is_some(),
            askings: 0,
            connections: 0,
            begun: 0,
            owner: spec.id.0,
            seed: spec.seed,
            think_us: spec.think_us,
            calm_think_us,
            pipeline: spec.pipeline,
            timeout_us: spec.usual_timeout_us(),
            workload,
            listed: listed.into_iter(),
            draws,
            next: Next::Nothing,
            follows: None,
            calm: false,
        };
        plan.advance(SimTime::ZERO);
        plan
    }

    /// When the next one is due.
    pub(super) fn at(&self) -> SimTime {
        match self.next {
            Next::Listed { at, .. } | Next::Drawn { at, .. } => at,
            Next::Nothing => SimTime::NEVER,
        }
    }

    pub(super) fn next(&self) -> Option<&Operation> {
        match &self.next {
            Next::Listed { operation, .. } | Next::Drawn { operation, .. } => Some(operation),
            Next::Nothing => None,
        }
    }

    pub(super) fn rewatches(&self) -> bool {
        self.rewatches
    }

    pub(super) fn shows_itself_again(&self) -> bool {
        self.shows_itself_again
    }

    /// Most requests in flight before the next one has to wait.
    pub(super) fn room(&self) -> u64 {
        match self.next {
            Next::Listed { .. } | Next::Nothing => u64::MAX,
            Next::Drawn { .. } if self.calm => 1,
            Next::Drawn { .. } => self.pipeline,
        }
    }

    /// The client is connected, with a `fresh` session or with the one that it had: the next one is due
    /// now, a drawn one after a while, and a greeting takes its place.
    pub(super) fn connected(&mut self, now: SimTime, wait_us: u64, fresh: bool) {
        let flees = fresh && self.flees();
        let hops = self.hops();
        match &mut self.next {
            // Before the server has told it of any transaction: others let it in whatever they lack.
            Next::Drawn { at, operation } if flees => {
                (*at, *operation) = (now, Operation::DropConnection);
            }
            Next::Listed { at, .. } => *at = now.max(*at),
            // It came here to end its session.
            Next::Drawn { at, operation: Operation::CloseSession } => *at = now,
            // What it asks for first is still under way when it comes back.
            Next::Drawn { at, operation } if hops && operation.is_request() => {
                *at = now;
                self.follows.get_or_insert(Operation::Move { stray: None });
            }
            Next::Drawn { at, operation } => match &self.greeting {
                Some(greeting) => (*at, *operation) = (now, greeting.clone()),
                None => *at = now.plus(wait_us),
            },
            Next::Nothing => {}
        }
    }

    /// Whether a restless client goes elsewhere as soon as it has this session.
    fn flees(&mut self) -> bool {
        self.begun += 1;
        let mut rng = SimRng::new(self.seed, Stream::Operation, FLIGHTS + self.begun);
        self.restless && !self.calm && rng.chance(400)
    }

    /// Whether one that returns leaves this connection right behind its first request.
    fn hops(&mut self) -> bool {
        self.connections += 1;
        let mut rng = SimRng::new(self.seed, Stream::Operation, HOPS + self.connections);
        self.returns && rng.chance(if self.calm { 100 } else { 300 })
    }

    /// Whether one that returns leaves before it is let in.
    pub(super) fn asks(&mut self) -> Option<Departure> {
        self.askings += 1;
        let mut rng = SimRng::new(self.seed, Stream::Operation, ASKINGS + self.askings);
        let departs = self.returns && !self.calm && rng.chance(100);
        departs.then(|| Departure {
            after_us: rng.log_range(50, self.timeout_us),
            dies: rng.chance(500),
        })
    }

    /// There is room for the next one. If it has been due for a while, it is tried again as if that had been
    /// done all the time, pause by pause.
    pub(super) fn goes_on(&mut self, now: SimTime) {
        let (at, pause_us) = match &mut self.next {
            Next::Listed { at, .. } => (at, RETRY_US),
            Next::Drawn { at, .. } => (at, self.think_us.max(1)),
            Next::Nothing => return,
        };
        *at = at.plus(now.since(*at).div_ceil(pause_us) * pause_us);
    }

    /// Takes the next one; another takes its place.
    pub(super) fn take(&mut self, now: SimTime) -> Option<Operation> {
        let taken = std::mem::replace(&mut self.next, Next::Nothing);
        self.advance(now);
        match taken {
            Next::Listed { operation, .. } | Next::Drawn { operation, .. } => Some(operation),
            Next::Nothing => None,
        }
    }

    /// Faults are over: all that is left of a list is done in its time, then drawn ones follow.
    pub(super) fn becomes_calm(&mut self, now: SimTime) {
        self.calm = true;
        let returns = self.returns;
        let unrest = |operation: &Operation| {
            matches!(operation, Operation::Restart | Operation::FallSilent { .. })
                || (!returns
                    && matches!(operation, Operation::DropConnection | Operation::Move { .. }))
        };
        if matches!(&self.next, Next::Drawn { operation, .. } if unrest(operation)) {
            self.advance(now);
        }
        if self.draws.is_none() {
            self.draws = Some(BEHIND_LIST);
            if matches!(self.next, Next::Nothing) {
                self.advance(now);
            }
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm
    }

    /// Nothing follows any more.
    pub(super) fn stop(&mut self) {
        self.listed = Vec::new().into_iter();
        self.draws = None;
        self.follows = None;
        self.next = Next::Nothing;
    }

    fn advance(&mut self, now: SimTime) {
        if let Some(Timed { at, operation }) = self.listed.next() {
            self.next = Next::Listed { at, operation };
        } else if let Some(operation) = self.follows.take() {
            self.next = Next::Drawn { at: now, operation };
        } else if let Some(n) = self.draws {
            self.draws = Some(n + 1);
            let (pause, mut operation) = self.draw(n);
            let ends = operation == Operation::CloseSession;
            let parting = ends.then(|| self.workload.draw_parting(self.owner, self.seed, n));
            if let Some(parting) = parting.flatten() {
                self.follows = Some(std::mem::replace(&mut operation, parting));
            } else if self.workload.ends_behind(&operation, self.seed, n) {
                self.follows = Some(Operation::CloseSession);
            }
            self.next = Next::Drawn { at: now.plus(pause), operation };
        }
    }

    /// The n-th operation, and the pause before it.
    fn draw(&self, n: u64) -> (u64, Operation) {
        let mut rng = SimRng::new(self.seed, Stream::Operation, n);
        // A burst is half as long as the pipeline in the mean.
        let joins = rng.chance(1000 * (self.pipeline - 1) / (self.pipeline + 1));
        let per_mille = rng.range(250, 2000);
        let mood = rng.below(1000);
        let silent_us = self.timeout_us * rng.range(500, 2000) / 1000;
        let operation = self.workload.draw_operation(self.owner, n, &mut rng);
        let operation = self.workload.draw_watching(self.seed, n).unwrap_or(operation);
        let operation = self.workload.guard(self.owner, self.seed, n, operation);
        // The calm phase asks whether things work, not how fast: a low rate also keeps the zxid
        // limit from being met twice in it (L1).
        let think = if self.calm { self.think_us.max(self.calm_think_us) } else { self.think_us };
        let pause = if joins && !self.calm { 0 } else { think * per_mille / 1000 };
        let restless = self.restless && !self.calm;
        let operation = match mood {
            _ if joins => operation,
            // What others do seldom.
            100..160 if restless => Operation::DropConnection,
            160..200 if restless => Operation::CloseSession,
            200..260 if restless => Operation::Restart,
            260..300 if restless => self.workload.draw_move(self.owner, self.seed, n),
            0..8 if !self.calm || self.returns => Operation::DropConnection,
            8..12 if !self.calm => Operation::FallSilent { us: silent_us },
            12..20 => Operation::CloseSession,
            20..26 if !self.calm || self.returns => {
                self.workload.draw_move(self.owner, self.seed, n)
            }
            26..28 if !self.calm => Operation::Restart,
            _ => operation,
        };
        (pause, operation)
    }
}
