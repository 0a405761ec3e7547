//! What was recorded, looked at afterwards: records read in both their forms, and decisions replayed.
//!
//! Native only: a page writes records, and never reads one here.

mod compare;
mod form;
mod json;
mod log;
mod record;
mod replay;
#[cfg(test)]
mod tests;

pub use log::{Entry, Log};
pub use record::{Exposure, Item, Outcome, Record, Recorded};
pub use replay::{Difference, Replay, Skipped, Summary};
