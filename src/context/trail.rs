//! What was done last, and what was shown since without being touched.

use super::bits::Bits;
use super::event::EventKind;
use crate::json::{field, field_or, read_struct};
use serde::Serialize;

/// A candidate that something was done with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Step {
    pub key: String,
    /// The candidate's type.
    pub kind: Option<String>,
    pub time: Bits,
    pub event: EventKind,
}

impl crate::json::Read for Step {
    fn read(value: &serde_json::Value, notes: &mut crate::json::Notes) -> Self {
        Step {
            key: field(value, "key", notes),
            kind: field(value, "kind", notes),
            time: field(value, "time", notes),
            // Snapshots of version 1 did not say.
            event: field_or(value, "event", EventKind::Open, notes),
        }
    }
}

/// Whether an event of this kind is a step.
pub(super) const fn is_step(kind: EventKind) -> bool {
    use EventKind::{Accept, Dismiss, Dwell, Open, Snooze};
    matches!(kind, Open | Accept | Dwell | Dismiss | Snooze)
}

/// The last steps, the oldest first. A list: it is short, and a ring that takes things in its middle is a kilobyte of a page.
pub(super) type Trail = Vec<Step>;

/// Adds a step where its time belongs, so that any order of arrival gives one trail of at most `most`.
pub(super) fn step(trail: &mut Trail, most: usize, key: &str, kind: Option<&str>, event: EventKind, time: f64) {
    let mut at = trail.iter().rposition(|t| t.time.0 <= time).map_or(0, |i| i + 1);
    if trail.len() >= most {
        let Some(before) = at.checked_sub(1) else { return };
        trail.remove(0);
        at = before;
    }
    trail.insert(at, Step { key: key.to_owned(), kind: kind.map(str::to_owned), time: Bits(time), event });
}

/// Impressions since the last time anything was opened or accepted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Unopened {
    /// The last open or accept, ms since the epoch.
    since: Option<Bits>,
    /// Of the latest impressions after it, ascending: a late open takes back only those before it.
    times: Vec<Bits>,
}

read_struct!(Unopened { since, times });

impl Unopened {
    /// As many as are counted.
    pub const MOST: usize = 64;

    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn shown(&mut self, time: f64) {
        if self.since.is_some_and(|since| time <= since.0) {
            return;
        }
        let at = self.times.partition_point(|t| t.0 <= time);
        self.times.insert(at, Bits(time));
        if self.times.len() > Self::MOST {
            self.times.remove(0);
        }
    }

    pub fn opened(&mut self, time: f64) {
        if self.since.is_none_or(|since| time > since.0) {
            self.since = Some(Bits(time));
            self.times.retain(|t| t.0 > time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_gives_one_trail_and_one_count(
            events in prop::collection::vec((any::<bool>(), 0u32..1000), 1..90), turn in 0usize..90, most in 0usize..9,
        ) {
            let run = |events: &[(bool, u32)]| {
                let (mut trail, mut unopened) = (Trail::new(), Unopened::default());
                for &(open, time) in events {
                    let time = f64::from(time);
                    if open { unopened.opened(time) } else { unopened.shown(time) }
                    if most > 0 {
                        step(&mut trail, most, &time.to_string(), None, EventKind::Open, time);
                    }
                }
                (trail, unopened)
            };
            let mut turned = events.clone();
            turned.rotate_left(turn % events.len());
            let one = run(&events);
            prop_assert_eq!(&one, &run(&turned));
            let last = events.iter().filter(|e| e.0).map(|e| i64::from(e.1)).max().unwrap_or(-1);
            let naive = events.iter().filter(|e| !e.0 && i64::from(e.1) > last).count();
            prop_assert_eq!(one.1.len(), naive.min(Unopened::MOST));
            let mut times: Vec<u32> = events.iter().map(|e| e.1).collect();
            times.sort_unstable();
            if most > 0 {
                let newest = &times[times.len().saturating_sub(most)..];
                prop_assert!(one.0.iter().map(|s| s.time.0).eq(newest.iter().map(|&t| f64::from(t))));
            }
        }
    }
}
