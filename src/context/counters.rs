//! Decayed counters: `c <- c 2^(-max(0, t - t_last) / h) + w`, and for a late event `c += w 2^(-(t_last - t) / h)`.
//!
//! What they add up to, whatever the order, is `sum w 2^(-(now - t) / h)`: exponential forward decay (Cormode, Shkapenyuk,
//! Srivastava, Xu 2009). So of two subjects the heavier one stays the heavier one while nothing happens, and a
//! [`weight`](Counters::weight) that time does not change tells which to forget first.

use super::bits::Bits;
use super::subjects::Weighed;
use crate::json::{Notes, Read, field, field_or};
use ranklet_kernels::math::f64 as math;
use serde::Serialize;
use serde_json::Value;
use std::f64::consts::LN_2;

/// The weight of nothing at all: below any event's, and finite, so that a snapshot can hold it.
pub(super) const NOTHING: f64 = -1e300;

/// `2^(-age / half_life)`; an age below zero counts as zero.
fn decay(age: f64, half_life: f64) -> f64 {
    if age > 0.0 { math::exp2(-age / half_life) } else { 1.0 }
}

/// `log2` of an amount at `time`, as it was at the epoch.
pub(super) fn weigh(amount: f64, time: f64, half_life: f64) -> f64 {
    // Most events count 1.
    let log2 = if amount == 1.0 { 0.0 } else { math::ln(amount) / LN_2 };
    if amount > 0.0 { log2 + time / half_life } else { NOTHING }
}

/// `log2(2^a + 2^b)`.
fn joined(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    // What is 2^64 times lighter changes no bit, and a new subject weighs nothing.
    if high - low > 64.0 {
        return high;
    }
    high + math::ln_1p(math::exp2(low - high)) / LN_2
}

/// What is counted of one subject (a key, a type, a surface, a session): numbered things, each with a value a half-life.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Counters {
    /// Bit by number of the thing.
    seen: u32,
    /// Of each thing seen, the lowest number first: when it was last, ms since the epoch, then a value a half-life.
    values: Vec<Bits>,
    /// All amounts together at the longest half-life: [`weigh`].
    weight: Bits,
}

impl Default for Counters {
    fn default() -> Self {
        Counters { seen: 0, values: Vec::new(), weight: Bits(NOTHING) }
    }
}

impl Weighed for Counters {
    fn weight(&self) -> f64 {
        self.weight.0
    }
}

impl Counters {
    /// Where the numbers of `what` stand, or would; `width` numbers a thing.
    fn place(&self, what: usize, width: usize) -> usize {
        (self.seen & ((1 << what) - 1)).count_ones() as usize * width
    }

    fn of(&self, what: usize) -> Option<&[Bits]> {
        let count = self.seen.count_ones() as usize;
        if self.seen & (1 << what) == 0 {
            return None;
        }
        let width = self.values.len() / count;
        let at = self.place(what, width);
        self.values.get(at..at + width)
    }

    /// Counts `amount` of `what` at `time`.
    pub fn add(&mut self, what: usize, time: f64, amount: f64, half_lives: &[f64]) {
        self.join(what, time, &|_| amount, half_lives);
    }

    /// Adds to the weight, [`weigh`]ed. Apart from the counting: what no table holds need not be weighed.
    pub fn gain(&mut self, weight: f64) {
        self.weight = Bits(joined(self.weight.0, weight));
    }

    /// Adds what stood at `amount(h)` at `time`.
    fn join(&mut self, what: usize, time: f64, amount: &dyn Fn(usize) -> f64, half_lives: &[f64]) {
        let width = half_lives.len() + 1;
        let at = self.place(what, width);
        if self.seen & (1 << what) == 0 {
            self.seen |= 1 << what;
            // Moved by hand: `splice` is a kilobyte of a page.
            let end = self.values.len();
            self.values.resize(end + width, Bits(0.0));
            self.values.copy_within(at..end, at + width);
            self.values[at..at + width].fill(Bits(0.0));
            self.values[at] = Bits(time);
        }
        let Some((last, values)) = self.values[at..at + width].split_first_mut() else { return };
        for (h, (Bits(c), &half_life)) in values.iter_mut().zip(half_lives).enumerate() {
            if time >= last.0 {
                *c = *c * decay(time - last.0, half_life) + amount(h);
            } else {
                *c += amount(h) * decay(last.0 - time, half_life);
            }
        }
        if time > last.0 {
            *last = Bits(time);
        }
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Counters, half_lives: &[f64]) {
        for what in 0..32 {
            if let Some((time, values)) = other.of(what).and_then(<[Bits]>::split_first) {
                self.join(what, time.0, &|h| values[h].0, half_lives);
            }
        }
        self.weight = Bits(joined(self.weight.0, other.weight.0));
    }

    /// The counter of `what` at half-life number `h`, decayed to `now`.
    pub fn value(&self, what: usize, h: usize, half_life: f64, now: f64) -> f64 {
        self.of(what).map_or(0.0, |c| c[h + 1].0 * decay(now - c[0].0, half_life))
    }

    /// Time of the latest event of `what`.
    pub fn last(&self, what: usize) -> Option<f64> {
        self.of(what).map(|c| c[0].0)
    }

    /// Whether these come from a context with so many half-lives and counted things.
    pub fn fits(&self, half_lives: usize, things: usize) -> bool {
        self.seen < 1 << things && self.values.len() == self.seen.count_ones() as usize * (half_lives + 1)
    }

    /// The same kept under other half-lives and numbers: `half_lives[h]` is the place that half-life h had, `things[n]` the
    /// number that thing n had; what is new starts at zero. `longest` is the place and length of the longest half-life.
    pub fn remapped(&self, half_lives: &[Option<usize>], things: &[Option<usize>], longest: (usize, f64)) -> Counters {
        let mut new = Counters::default();
        for (number, old) in things.iter().enumerate() {
            let Some(old) = old.and_then(|old| self.of(old)) else { continue };
            new.seen |= 1 << number;
            new.values.push(old[0]);
            new.values.extend(half_lives.iter().map(|h| h.map_or(Bits(0.0), |h| old[h + 1])));
            let amount = new.values[new.values.len() - half_lives.len() + longest.0].0;
            // A reason is counted beside its dismissal, and weighs nothing.
            if number < super::event::EventKind::ALL.len() {
                new.weight = Bits(joined(new.weight.0, weigh(amount, old[0].0, longest.1)));
            }
        }
        new
    }
}

/// As in snapshots of version 1: by event kind a time and its values, which may be none.
fn read_first_version(kinds: &[Value], notes: &mut Notes) -> Counters {
    let mut counters = Counters::default();
    for (kind, old) in kinds.iter().enumerate().take(super::event::EventKind::ALL.len()) {
        let values: Vec<Bits> = field(old, "c", notes);
        if !values.is_empty() {
            counters.seen |= 1 << kind;
            counters.values.push(field(old, "t", notes));
            counters.values.extend(values);
        }
    }
    counters
}

impl Read for Counters {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        match value.get("kinds").and_then(Value::as_array) {
            Some(kinds) => read_first_version(kinds, notes),
            None => Counters {
                seen: field(value, "seen", notes),
                values: field(value, "values", notes),
                weight: field_or(value, "weight", Bits(NOTHING), notes),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_at_each_half_life() {
        let mut counters = Counters::default();
        counters.add(3, 1000.0, 1.0, &[500.0]);
        for (now, expected) in [(1000.0, 1.0), (1500.0, 0.5), (2000.0, 0.25), (900.0, 1.0)] {
            assert_eq!(counters.value(3, 0, 500.0, now), expected);
        }
        assert_eq!(counters.value(2, 0, 500.0, 1000.0), 0.0);
        assert_eq!((counters.last(3), counters.last(4)), (Some(1000.0), None));
    }

    /// `sum w 2^(-(now - t) / h)`, from the events themselves.
    fn naive(events: &[(usize, f64, f64)], what: usize, half_life: f64, now: f64) -> f64 {
        let of = events.iter().filter(|e| e.0 == what);
        of.map(|&(_, time, amount)| amount * math::exp2(-(now - time) / half_life)).sum()
    }

    proptest! {
        #[test]
        fn counters_are_the_sum_in_any_order_in_parts_and_after_a_change_of_half_lives(
            events in prop::collection::vec((0usize..12, 0.0f64..1e7, 0.0f64..9.0), 1..40), cut in 0usize..40, turn in 0usize..40,
        ) {
            let half_lives = [6e5, 2.5e6];
            let count = |events: &[(usize, f64, f64)]| {
                let mut counters = Counters::default();
                for &(what, time, amount) in events {
                    counters.add(what, time, amount, &half_lives);
                    counters.gain(weigh(amount, time, 2.5e6));
                }
                counters
            };
            let mut turned = events.clone();
            turned.rotate_left(turn % events.len());
            let (first, rest) = turned.split_at(cut % events.len());
            let mut parts = count(first);
            parts.merge(&count(rest), &half_lives);
            let whole = count(&events);
            prop_assert!(whole.fits(2, 12) && !whole.fits(1, 12));
            let things: Vec<Option<usize>> = (0..12).map(Some).collect();
            let mapped = whole.remapped(&[Some(1), None, Some(0)], &things, (0, 2.5e6));
            prop_assert!(mapped.fits(3, 12));
            for what in 0..12 {
                for (h, &half_life) in half_lives.iter().enumerate() {
                    let expected = naive(&events, what, half_life, 1e7);
                    for found in [&whole, &parts].map(|c| c.value(what, h, half_life, 1e7)) {
                        prop_assert!((found - expected).abs() <= 1e-9 * (1.0 + expected), "{found} {expected}");
                    }
                    prop_assert_eq!(mapped.value(what, 2 - 2 * h, half_life, 1e7), whole.value(what, h, half_life, 1e7));
                }
                prop_assert_eq!((mapped.value(what, 1, 1.0, 1e7), mapped.last(what)), (0.0, whole.last(what)));
            }
            let all: f64 = events.iter().map(|e| naive(&[*e], e.0, 2.5e6, 1e7)).sum();
            for weight in [whole.weight(), parts.weight()] {
                prop_assert!((math::exp2(weight - 1e7 / 2.5e6) - all).abs() <= 1e-9 * (1.0 + all), "{weight} {all}");
            }
        }
    }
}
