//! The pipeline: request -> features -> plan -> calibration -> policy -> ranking.
//!
//! The one place that decides between the model's order and the server's.

mod decide;
pub(crate) mod form;
mod list;
mod manifest;
mod open;
pub(crate) mod privacy;
#[cfg(feature = "native")]
mod recompute;
pub(crate) mod record;
mod score;
mod session;

pub use crate::scorer::Golden;
pub use list::{Decided, Entry, Frozen, Identity, List, Options, Ranking};
pub use manifest::{Head, Link, Manifest, POINTS, Provenance, STATISTICS, SourceDigest, SurfaceCalibrator, Training};
pub use open::Ranker;
pub use record::{Digests, Level};
pub use session::{Session, Shown, list_name};
