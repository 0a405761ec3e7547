//! The context layer: local events become typed signals.
//!
//! Nothing here reads a clock: every event carries its time and every question its `now`. Memory is
//! bounded; what is forgotten is counted. Order of arrival does not matter beyond rounding: a late
//! event is decayed to where it would stand, and of two actions on a key, edits of a field or searches the later
//! one holds. The caller does not give times after its own clock. What stands where:
//!
//! - `counters`: how often and how lately, decayed; `subjects`: the bounded tables of them, by key, type and surface
//! - `sessions`: when somebody was there; `trail`: what was done last, and what was shown in vain since
//! - `actions`: dismissals and snoozes; `draft`: what is typed and not saved; `seen`: what came before
//! - `signal` and `catalogue`: all that as named numbers, and what they mean; `snapshot`: all that as a text

mod actions;
mod bits;
mod catalogue;
mod counters;
mod draft;
mod event;
mod index;
mod seen;
mod sessions;
mod signal;
mod snapshot;
mod spec;
mod state;
mod subjects;
#[cfg(test)]
mod tests;
mod trail;

pub use actions::Suppression;
pub use catalogue::{Privacy, SignalInfo, catalogue};
pub use draft::Suggestion;
pub(crate) use event::identity;
pub use event::{Event, EventKind, EventValue, Given, Happening, MAX_TEXT};
pub use signal::{Found, Scope, Signal, Subject, signals};
pub use snapshot::SNAPSHOT_VERSION;
pub use spec::{ContextSpec, Reason, parse_duration};
pub use state::Context;
