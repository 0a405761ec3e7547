//! Noise that can be drawn again: a hash of (seed, decision, position, candidate).
//!
//! Fresh at each position, because the set of those that may stand there can grow from one to the next (spacing,
//! dependencies) and their scores change (diversity): noise kept by item would make the logged probabilities wrong. Fresh
//! at each decision, because what is shown now decides what the next context is.

use ranklet_kernels::hash::hash64;

/// A stream of one decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    key: u64,
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): every input bit moves every output bit.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The seed that a text names: a whole number below 2^64 in digits, or else its hash.
pub fn seed(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| hash64(text))
}

/// An odd constant: 2^64 over the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Noise {
    pub fn new(seed: u64, decision_id: &str) -> Noise {
        Noise { key: mix(mix(seed.wrapping_add(STEP)) ^ hash64(decision_id)) }
    }

    /// The stream of one position, for [`uniform`](Self::uniform).
    pub fn at(self, position: usize) -> Noise {
        Noise { key: mix(self.key ^ (position as u64).wrapping_add(1).wrapping_mul(STEP)) }
    }

    /// Uniform in (0, 1), never 0 nor 1.
    pub fn uniform(self, stream: u64) -> f64 {
        ((mix(self.key ^ stream) >> 12) as f64 + 0.5) / 4_503_599_627_370_496.0
    }
}
