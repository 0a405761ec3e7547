//! Dismissals and snoozes.

use super::bits::Millis;
use super::subjects::{Subjects, Weighed};
use crate::json::{read_names, read_struct};
use serde::Serialize;

/// Why a candidate is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    /// Waved away.
    Dismissed,
    /// Put off.
    Snoozed,
}

/// The latest action on a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Action {
    /// None: taken back.
    suppression: Option<Suppression>,
    /// When, ms since the epoch.
    time: Millis,
    /// Until when it holds.
    until: Millis,
}

read_names!(Suppression { "dismissed" => Dismissed, "snoozed" => Snoozed });
read_struct!(Action { suppression, time, until });

/// What ends first matters least.
impl Weighed for Action {
    fn weight(&self) -> f64 {
        self.until.get()
    }
}

/// Keys with a dismissal or snooze.
pub(super) const MAX_ACTIONS: usize = 4096;

/// Notes what was done with `key` at `time`, for `length` ms; None takes back what was before. Of two actions the later one
/// holds, and of one millisecond the one that came last. Returns whether a key was forgotten for it.
pub(super) fn act(
    actions: &mut Subjects<Action>,
    key: &str,
    time: f64,
    suppression: Option<Suppression>,
    length: f64,
) -> bool {
    let action = Action { suppression, time: Millis::floor(time), until: Millis::floor(time + length) };
    if actions.get(key).is_some_and(|before| before.time.get() > action.time.get()) {
        return false;
    }
    actions.change(key, action.weight(), &|slot| *slot = action)
}

impl Action {
    /// Whether the key is hidden at `now`.
    pub fn at(&self, now: f64) -> Option<Suppression> {
        if now < self.until.get() { self.suppression } else { None }
    }
}
