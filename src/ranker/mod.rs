//! The pipeline: request -> features -> plan -> calibration -> policy -> ranking.
//!
//! The one place that decides between the model's order and the server's.

mod list;
mod manifest;
mod open;
mod record;
mod score;
mod session;

pub use crate::scorer::Golden;
pub use list::{Entry, Frozen, Identity, List, Options, Ranking};
pub use manifest::{Head, Link, Manifest, POINTS, Provenance, STATISTICS, SourceDigest, SurfaceCalibrator, Training};
pub use open::Ranker;
pub use record::{Digests, HeadValue, Record, RecordItem};
pub use session::Session;
