//! The whole manifest of a bundle: each section is owned by the room that reads it.

use crate::calibration::CalibratorSpec;
use crate::context::ContextSpec;
use crate::engine::Plan;
use crate::features::{Input, Schema};
use crate::json::{read_names, read_struct};
use crate::policy::PolicySpec;
use crate::scorer::Golden;
use serde::Serialize;
use std::sync::Arc;

/// How a head's raw output is turned before calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// As it is.
    #[default]
    Identity,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// ln(p / (1 - p)).
    Logit,
}

/// A calibrator and where it applies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SurfaceCalibrator {
    /// None: wherever no other one applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// The calibrator.
    pub calibrator: CalibratorSpec,
    /// f32 `[rows]` tensor: raw scores of the self-test.
    pub golden_input: String,
    /// f64 `[rows]` tensor: what the calibrator gave for them at compile.
    pub golden_output: String,
}

/// One objective's score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Head {
    /// Unique name.
    pub name: String,
    /// Output of the plan, by index.
    pub output: usize,
    /// Column of it.
    pub column: usize,
    /// Before calibration.
    pub link: Link,
    /// At most one a surface.
    pub calibrators: Vec<SurfaceCalibrator>,
}

/// A file that went into a bundle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceDigest {
    /// `model`, or `calibrator.HEAD.NUMBER`.
    pub role: String,
    /// SHA-256, hex.
    pub sha256: String,
}

/// Where a bundle comes from; no time, host or path, so that the same sources give the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Provenance {
    /// Version of ranklet that compiled it.
    pub ranklet: String,
    /// Each source file.
    pub sources: Vec<SourceDigest>,
    /// What the plan was checked against.
    pub oracle: String,
    /// Rows on which it was checked.
    pub checked_rows: usize,
}

/// Numbers of a feature in [`Training::features`].
pub const STATISTICS: usize = 3 + POINTS;
/// Points of its distribution among them.
pub const POINTS: usize = 17;

/// Statistics of the features over the rows that the model was trained on. Nothing that ranks reads them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Training {
    /// Candidates.
    pub rows: usize,
    /// Requests, for inputs that have one row each.
    pub requests: usize,
    /// f32 `[features, STATISTICS]` tensor: share of missing values, mean, standard deviation, and the values at 17 even
    /// ranks from the least to the greatest, all columns of a feature together.
    pub features: String,
    /// f32 tensor: feature after feature of at most 1,024 categories (sequences left out), the share of rows that holds
    /// each, or, for a list, its column's mean.
    pub shares: String,
}

/// A bundle's manifest.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Manifest {
    /// Format version.
    pub format: u32,
    /// Minor format version.
    pub minor: u32,
    /// Sections that a reader must know.
    pub requires: Vec<String>,
    /// The model's name.
    pub name: String,
    /// The model's version, rising with each release.
    pub version: u64,
    /// Number of the arithmetic that the goldens were made with.
    pub numerics: u32,
    /// Where the model is used.
    pub surfaces: Vec<String>,
    /// The ranking model.
    pub plan: Arc<Plan>,
    /// Self-test of the plan.
    pub golden: Golden,
    /// Input of the plan that the schema fills; None where it fills several, and in a bare scoring bundle.
    pub input: Option<usize>,
    /// The plan's inputs, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Heads, the primary one first; empty in a bare scoring bundle.
    pub heads: Vec<Head>,
    /// Features.
    pub schema: Schema,
    /// SHA-256 of the schema and context sections' JSON.
    pub schema_digest: String,
    /// Local context.
    pub context: ContextSpec,
    /// Policy.
    pub policy: PolicySpec,
    /// SHA-256 of the policy section's JSON.
    pub policy_digest: String,
    /// Sources.
    pub provenance: Provenance,
    /// What the model was trained on, if that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
}

read_names!(Link { "identity" => Identity, "sigmoid" => Sigmoid, "logit" => Logit });
read_struct!(SurfaceCalibrator { surface, calibrator, golden_input, golden_output });
read_struct!(Head { name, output, column; link = Link::Identity, calibrators = Vec::new() });
read_struct!(Manifest {
    format, minor, name, version, numerics, plan, golden, input, training;
    requires = Vec::new(), surfaces = Vec::new(), inputs = Vec::new(), heads = Vec::new(), schema = Schema::default(),
    schema_digest = String::new(), context = ContextSpec::default(), policy = PolicySpec::default(),
    policy_digest = String::new(), provenance = Provenance::default()
});

/// Where a model comes from and what it was trained on: read where somebody can ask for it. A page passes over it.
#[cfg(any(feature = "compile", not(target_arch = "wasm32")))]
mod told {
    use super::{Provenance, SourceDigest, Training, read_struct};

    read_struct!(SourceDigest { role, sha256 });
    read_struct!(Provenance { ranklet; sources = Vec::new(), oracle = String::new(), checked_rows = 0 });
    read_struct!(Training { rows, requests, features, shares });
}

#[cfg(all(target_arch = "wasm32", not(feature = "compile")))]
mod told {
    use super::{Provenance, Training};
    use crate::json::{Notes, Read};
    use serde_json::Value;

    impl Read for Provenance {
        fn read(_: &Value, _: &mut Notes) -> Self {
            Self::default()
        }
    }

    impl Read for Training {
        fn read(_: &Value, _: &mut Notes) -> Self {
            Self::default()
        }
    }
}
