//! Decayed counters: `c <- c 2^(-max(0, t - t_last) / h) + w`, and for a late event `c += w 2^(-(t_last - t) / h)`.

use super::bits::Bits;
use super::event::EventKind;
use crate::json::read_struct;
use ranklet_kernels::math::f64 as math;
use serde::Serialize;

const KINDS: usize = EventKind::ALL.len();

/// `2^(-age / half_life)`; an age below zero counts as zero.
fn decay(age: f64, half_life: f64) -> f64 {
    if age > 0.0 { math::exp2(-age / half_life) } else { 1.0 }
}

/// The counters of one event kind: one value a half-life, and the time they stand at.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Counter {
    /// Time of the latest event, ms since the epoch.
    t: Bits,
    /// By half-life; empty until the first event.
    c: Vec<Bits>,
}

/// The counters of one subject (a key, a type, a surface, the session), by event kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Counters {
    kinds: Vec<Counter>,
}

read_struct!(Counter { t, c });
read_struct!(Counters { kinds });

impl Counters {
    /// Counts an event of `weight` at `time`.
    pub fn add(&mut self, kind: EventKind, time: f64, weight: f64, half_lives: &[f64]) {
        if self.kinds.is_empty() {
            self.kinds = vec![Counter::default(); KINDS];
        }
        let counter = &mut self.kinds[kind as usize];
        if counter.c.is_empty() {
            counter.t = Bits(time);
            counter.c = vec![Bits(0.0); half_lives.len()];
        }
        let last = counter.t.0;
        for (Bits(c), &h) in counter.c.iter_mut().zip(half_lives) {
            if time >= last {
                *c = *c * decay(time - last, h) + weight;
            } else {
                *c += weight * decay(last - time, h);
            }
        }
        if time > last {
            counter.t = Bits(time);
        }
    }

    /// The counter of `kind` and half-life `h`, decayed to `now`.
    pub fn value(&self, kind: EventKind, h: usize, half_life: f64, now: f64) -> f64 {
        match self.kinds.get(kind as usize) {
            Some(counter) if !counter.c.is_empty() => {
                counter.c.get(h).map_or(0.0, |c| c.0) * decay(now - counter.t.0, half_life)
            }
            _ => 0.0,
        }
    }

    /// Time of the latest event of `kind`.
    pub fn last(&self, kind: EventKind) -> Option<f64> {
        self.kinds.get(kind as usize).filter(|c| !c.c.is_empty()).map(|c| c.t.0)
    }

    /// Whether these come from a context with `half_lives` half-lives.
    pub fn fits(&self, half_lives: usize) -> bool {
        (self.kinds.is_empty() || self.kinds.len() == KINDS)
            && self.kinds.iter().all(|k| k.c.is_empty() || k.c.len() == half_lives)
    }

    /// Takes over counters kept under other half-lives: `from[h]` is the place that half-life h had; one that is
    /// new starts at zero.
    pub fn remap(&mut self, from: &[Option<usize>]) {
        for counter in self.kinds.iter_mut().filter(|k| !k.c.is_empty()) {
            counter.c = from.iter().map(|h| h.map_or(Bits(0.0), |h| counter.c[h])).collect();
        }
    }

    /// All that is left at `now`, over kinds, at half-life `h`: what eviction weighs.
    pub fn mass(&self, h: usize, half_life: f64, now: f64) -> f64 {
        EventKind::ALL.iter().map(|&k| self.value(k, h, half_life, now)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_at_each_half_life() {
        let mut counters = Counters::default();
        counters.add(EventKind::Open, 1000.0, 1.0, &[500.0]);
        for (now, expected) in [(1000.0, 1.0), (1500.0, 0.5), (2000.0, 0.25), (900.0, 1.0)] {
            assert_eq!(counters.value(EventKind::Open, 0, 500.0, now), expected);
        }
        assert_eq!(counters.value(EventKind::Accept, 0, 500.0, 1000.0), 0.0);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_value(mut times in prop::collection::vec(0.0f64..1e7, 1..30), seed: u64) {
            let sum = |times: &[f64]| {
                let mut counters = Counters::default();
                for &t in times {
                    counters.add(EventKind::Open, t, 1.0, &[6e5]);
                }
                counters.value(EventKind::Open, 0, 6e5, 1e7)
            };
            let one = sum(&times);
            let n = times.len();
            for i in (1..n).rev() {
                times.swap(i, (seed as usize).wrapping_mul(i + 7) % (i + 1));
            }
            let other = sum(&times);
            prop_assert!((one - other).abs() <= 1e-6 * one.abs());
        }
    }
}
