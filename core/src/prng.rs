//! The one source of randomness in core: ChaCha12, wrapped so that its stream is ours to freeze.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Deterministic generator; production seeds it from the operating system.
#[derive(Clone, Debug)]
pub struct Prng(ChaCha12Rng);

impl Prng {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform enough for jitter: the bias of a modulo over 64 bits is below 2^-32 for any bound here.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }
}

#[cfg(test)]
mod tests {
    use super::Prng;

    #[test]
    fn the_stream_is_frozen() {
        let mut prng = Prng::from_seed([7; 32]);
        let first: [u64; 3] = core::array::from_fn(|_| prng.next_u64());
        assert_eq!(first, GOLDEN, "a changed stream changes what every recorded seed means");
    }

    const GOLDEN: [u64; 3] = [2363194108971422454, 13552751203817743523, 9883557846297347894];
}
