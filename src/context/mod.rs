//! The context layer: local events become typed signals.
//!
//! Nothing here reads a clock: every event carries its time and every question its `now`. Memory is
//! bounded; what is forgotten is counted. Order of arrival does not matter beyond rounding: a late
//! event is decayed to where it would stand, and of two actions on a key the later one holds.

mod bits;
mod counters;
mod event;
mod signal;
mod spec;
mod state;

pub use event::{Event, EventKind, EventValue};
pub use signal::{Scope, Signal, SignalInfo, Subject, catalogue, signals};
pub use spec::{ContextSpec, parse_duration};
pub use state::{Context, SNAPSHOT_VERSION, Suppression};
