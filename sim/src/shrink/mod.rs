//! Makes a failing scenario as small as it gets while it still fails for the same cause.
//!
//! Each candidate is tried over several rolls of all that it leaves open (latencies, disks, tasks):
//! with one roll alone, taking a fault away that has nothing to do with the failure shifts everything
//! behind it, and the failure is lost by chance.

mod class;
mod list;
mod simpler;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::ids::SimTime;
use crate::observe::Violation;
use crate::run::{Look, Outcome, look_at};
use crate::scenario::Scenario;
use crate::zkclient::Operations;

pub use self::class::Class;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rolls of each candidate.
    pub rolls: u32,
    /// CPU time, after which the best so far is taken.
    pub budget: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self { rolls: 8, budget: Duration::from_secs(60) }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    pub scenario: Scenario,
    pub violation: Violation,
    /// When it failed.
    pub end: SimTime,
    pub before: Size,
    pub after: Size,
    pub runs: u64,
    pub cpu: Duration,
    /// The budget ended before the ideas did.
    pub exhausted: bool,
}

/// How long a scenario is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Size {
    pub fault_units: usize,
    /// Operations of clients up to the failure; drawn ones of the calm phase are not counted.
    pub operations: usize,
    pub clients: usize,
    pub servers: usize,
}

impl Size {
    /// A person takes it in at a glance.
    fn is_short(self) -> bool {
        self.fault_units <= 3 && self.operations <= 10
    }
}

/// How often what is not short is tried with more rolls.
const PATIENCE: u32 = 2;

/// Why nothing was shrunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not fail.
    Passes,
    Harness(String),
}

/// Shrinks a scenario that fails. `progress` hears what each step left.
///
/// # Errors
/// Where it does not fail, or the harness does.
pub fn shrink(
    scenario: Scenario,
    white_box: bool,
    effort: Effort,
    progress: &mut dyn FnMut(&str, Size),
) -> Result<Shrunk, Refused> {
    let look = Look { white_box, operations: true, ..Look::default() };
    let outcome = look_at(scenario.clone(), look).map_err(Refused::Harness)?;
    let Err(violation) = outcome.verdict.clone() else { return Err(Refused::Passes) };
    let before =
        Size { operations: outcome.operations.iter().map(Vec::len).sum(), ..size(&scenario) };
    let mut shrinker = Shrinker {
        class: Class::of(&violation),
        white_box,
        effort,
        spent: outcome.cpu,
        runs: 1,
        harness: None,
        best: Best { scenario, violation, end: outcome.end },
        progress,
    };
    let exhausted = shrinker.all_steps(outcome).is_err();
    if let Some(fault) = shrinker.harness {
        return Err(Refused::Harness(fault));
    }
    let Shrinker { best, spent, runs, .. } = shrinker;
    let after = size(&best.scenario);
    let Best { scenario, violation, end } = best;
    Ok(Shrunk { scenario, violation, end, before, after, runs, cpu: spent, exhausted })
}

/// Nothing is to be tried any more.
struct Over;

struct Best {
    scenario: Scenario,
    violation: Violation,
    end: SimTime,
}

struct Shrinker<'a> {
    class: Class,
    white_box: bool,
    effort: Effort,
    spent: Duration,
    runs: u64,
    harness: Option<String>,
    best: Best,
    progress: &'a mut dyn FnMut(&str, Size),
}

impl Shrinker<'_> {
    fn all_steps(&mut self, first: Outcome) -> Result<(), Over> {
        self.list_operations(first)?;
        self.step("looks", Self::more_looks)?;
        self.step("fault units", Self::fewer_units)?;
        self.step("clients", Self::fewer_clients)?;
        self.step("operations", Self::fewer_operations)?;
        self.step("servers", Self::fewer_servers)?;
        self.until_nothing_goes()?;
        for _ in 0..PATIENCE {
            if size(&self.best.scenario).is_short() {
                break;
            }
            self.step("limits", Self::lower_limits)?;
            self.until_nothing_goes()?;
            if size(&self.best.scenario).is_short() {
                break;
            }
            // Whoever needs a rare roll is told from whoever is needed by more of them.
            self.effort.rolls = self.effort.rolls.saturating_mul(4);
            self.until_nothing_goes()?;
        }
        self.step("habits", Self::plainer)?;
        self.step("dead time", Self::less_dead_time)?;
        self.step("lengths", Self::shorter_units)?;
        self.step("fault phase", Self::shorter_phase)?;
        self.step("round times", Self::rounder_times)
    }

    fn until_nothing_goes(&mut self) -> Result<(), Over> {
        let mut before = size(&self.best.scenario);
        loop {
            self.step("fault units", Self::fewer_units)?;
            self.step("clients", Self::fewer_clients)?;
            self.step("operations", Self::fewer_operations)?;
            let after = size(&self.best.scenario);
            if std::mem::replace(&mut before, after) == after {
                return Ok(());
            }
        }
    }

    fn step(
        &mut self,
        name: &str,
        step: impl FnOnce(&mut Self) -> Result<(), Over>,
    ) -> Result<(), Over> {
        let done = step(self);
        (self.progress)(name, size(&self.best.scenario));
        done
    }

    /// Tries a candidate; it becomes the best if it fails for the same cause under any roll.
    fn accept(&mut self, candidate: Scenario) -> Result<bool, Over> {
        if candidate == self.best.scenario {
            return Ok(false);
        }
        let best = self.best.scenario.rolls;
        let others = (0..self.effort.rolls).filter(|rolls| *rolls != best);
        let rolls = std::iter::once(best).chain(others).take(self.effort.rolls.max(1) as usize);
        for rolls in rolls.collect::<Vec<_>>() {
            if self.fails(Scenario { rolls, ..candidate.clone() })? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fails(&mut self, candidate: Scenario) -> Result<bool, Over> {
        if self.spent >= self.effort.budget {
            return Err(Over);
        }
        let end = self.best.end;
        let look = Look {
            white_box: self.white_box,
            // A failure that comes much later is another one, and calm phases are long.
            until: Some(end.plus((end.0 / 2).max(1_000_000))),
            ..Look::default()
        };
        let outcome = look_at(candidate.clone(), look).map_err(|fault| {
            self.harness = Some(fault);
            Over
        })?;
        self.runs += 1;
        self.spent += outcome.cpu;
        let Err(violation) = outcome.verdict else { return Ok(false) };
        if Class::of(&violation) != self.class {
            return Ok(false);
        }
        self.best = Best { scenario: candidate, violation, end: outcome.end };
        self.cut_tail();
        Ok(true)
    }

    /// What comes behind the failure has no part in it.
    fn cut_tail(&mut self) {
        let Best { scenario, end, .. } = &mut self.best;
        scenario.faults.retain(|unit| unit.at <= *end);
        for client in &mut scenario.clients {
            if let Operations::Listed(listed) = &mut client.operations {
                listed.retain(|timed| timed.at <= *end);
            }
        }
    }

    /// Writes down what each client did, so that single operations can be left out.
    fn list_operations(&mut self, first: Outcome) -> Result<(), Over> {
        let mut listed = self.best.scenario.clone();
        for (client, done) in listed.clients.iter_mut().zip(first.operations) {
            client.operations = Operations::Listed(done);
        }
        self.cut_tail();
        self.step("as listed", |shrinker| shrinker.accept(listed).map(|_| ()))
    }
}

fn size(scenario: &Scenario) -> Size {
    let operations = scenario.clients.iter().map(|client| match &client.operations {
        Operations::Drawn | Operations::DrawnReads => 0,
        Operations::Listed(listed) => listed.len(),
    });
    Size {
        fault_units: scenario.faults.len(),
        operations: operations.sum(),
        clients: scenario.clients.len(),
        servers: scenario.cluster.configs.len(),
    }
}
