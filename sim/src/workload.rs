//! What clients ask for: operations drawn from a small key space, so that they conflict.

/// Weights of the operations of one run, some of them left out (swarm testing).
#[derive(Clone, Debug)]
pub struct Workload {
    seed: u64,
}

impl Workload {
    /// Draws the mix of a run; every client of the run gets a clone of it.
    pub fn draw(seed: u64) -> Self {
        Self { seed }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }
}
