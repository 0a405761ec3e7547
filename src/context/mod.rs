//! The context layer: local events become typed signals.
//!
//! Nothing here reads a clock: every event carries its time and every question its `now`. Memory is
//! bounded; what is forgotten is counted. Order of arrival does not matter beyond rounding: a late
//! event is decayed to where it would stand, and of two actions on a key, edits of a field or searches the later
//! one holds. The caller does not give times after its own clock.

mod bits;
mod counters;
mod event;
mod signal;
mod spec;
mod state;

pub(crate) use event::identity;
pub use event::{Event, EventKind, EventValue, MAX_TEXT};
pub use signal::{Scope, Signal, SignalInfo, Subject, catalogue, signals};
pub use spec::{ContextSpec, parse_duration};
pub use state::{Context, SNAPSHOT_VERSION, Suppression};
