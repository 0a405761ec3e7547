//! The declared schema: the `features` section of a specification and of a bundle.

use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// What a source's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number; a JSON boolean counts as 0 or 1.
    #[default]
    Numeric,
    /// The same, named for its meaning.
    Boolean,
    /// A text; integers and booleans count by their JSON text.
    Categorical,
    /// A list of keys, crossed with a key-scope signal of the local context.
    Related,
}

/// How a categorical value becomes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encode {
    /// Its place in the vocabulary; unknown is -1, missing stays missing.
    #[default]
    Index,
    /// One column a vocabulary entry; unknown and missing are all zeros.
    OneHot,
}

/// How the signals of related keys are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Their sum.
    #[default]
    Sum,
    /// The largest.
    Max,
}

/// A numeric transform. NaN (missing) passes through all but [`Transform::IsMissing`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op", deny_unknown_fields)]
pub enum Transform {
    /// ln(1 + max(x, 0)).
    Log1p,
    /// Into `[low, high]`.
    Clip {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// (x - mean) / std.
    Standardise {
        /// Training mean.
        mean: f64,
        /// Training standard deviation, above 0.
        std: f64,
    },
    /// Number of edges that are <= x.
    Bucketise {
        /// Ascending.
        edges: Vec<f64>,
    },
    /// Rank among sorted knots, linear between them, in `[0, 1]`.
    Quantile {
        /// Ascending, at least two.
        knots: Vec<f64>,
    },
    /// (now - x) / unit, x in ms since the epoch.
    Age {
        /// A duration, e.g. `1d`.
        unit: String,
    },
    /// x / by; missing when `by` is 0 or missing.
    Ratio {
        /// Another numeric source.
        by: String,
    },
    /// x * by: a cross, for example of a fact with a local signal.
    Product {
        /// Another numeric source.
        by: String,
    },
    /// 1 when missing, else 0.
    IsMissing,
}

/// One feature: a source, how it is read, and its transforms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Unique name.
    pub name: String,
    /// Source path, e.g. `candidate.features.budget`, `facts.account.age`, `local.key.open.10m`.
    pub from: String,
    /// What the source's values are.
    #[serde(default)]
    pub kind: Kind,
    /// Numeric transforms, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
    /// Categorical: known values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vocabulary: Vec<String>,
    /// Categorical with a vocabulary: form.
    #[serde(default)]
    pub encode: Encode,
    /// Categorical without a vocabulary: number of hash buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_buckets: Option<u32>,
    /// Related: the key-scope counter, e.g. `key.accept.10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Related: how the keys' values are joined.
    #[serde(default)]
    pub aggregate: Aggregate,
    /// Takes the place of NaN at the very end; without it missing stays NaN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<f64>,
}

/// All features, in the order of the model's columns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    /// In column order.
    pub features: Vec<Feature>,
}

impl Feature {
    /// Columns that it fills.
    pub fn width(&self) -> usize {
        if self.kind == Kind::Categorical && self.encode == Encode::OneHot { self.vocabulary.len() } else { 1 }
    }
}

impl Schema {
    /// Features at most.
    pub const MAX_FEATURES: usize = 4096;

    /// Columns of the matrix.
    pub fn width(&self) -> usize {
        self.features.iter().map(Feature::width).sum()
    }

    /// A name for each column: the feature's, with `=value` for one-hot columns.
    pub fn column_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for f in &self.features {
            if f.width() == 1 && f.encode == Encode::Index {
                names.push(f.name.clone());
            } else {
                names.extend(f.vocabulary.iter().map(|v| format!("{}={v}", f.name)));
            }
        }
        names
    }

    /// Checks what can be checked without sources.
    ///
    /// # Errors
    /// `schema_mismatch` names the feature and the mend.
    pub fn check(&self) -> Result<()> {
        if self.features.len() > Self::MAX_FEATURES {
            return Err(Error::new(ErrorKind::LimitExceeded, "a schema has at most 4096 features"));
        }
        let mut names = std::collections::BTreeSet::new();
        for f in &self.features {
            let bad = |what: &str| Err(Error::new(ErrorKind::SchemaMismatch, format!("feature {:?}: {what}", f.name)));
            if !names.insert(&f.name) {
                return bad("the name stands twice");
            }
            let numeric = matches!(f.kind, Kind::Numeric | Kind::Boolean | Kind::Related);
            if !numeric && !f.transforms.is_empty() {
                return bad("a categorical feature takes no transforms");
            }
            if numeric && (!f.vocabulary.is_empty() || f.hash_buckets.is_some()) {
                return bad("`vocabulary` and `hash_buckets` need `kind = \"categorical\"`");
            }
            if !numeric && f.vocabulary.is_empty() == f.hash_buckets.is_none_or(|b| b == 0) {
                return bad("give either a `vocabulary` or `hash_buckets` above 0");
            }
            if f.vocabulary.len() > 65_536 {
                return bad("a vocabulary has at most 65,536 entries");
            }
            if (f.kind == Kind::Related) != f.signal.is_some() {
                return bad("`signal` goes with `kind = \"related\"`, and it needs one");
            }
            for t in &f.transforms {
                let ascending = |v: &[f64]| v.windows(2).all(|w| w[0] <= w[1]) && v.iter().all(|x| x.is_finite());
                match t {
                    Transform::Clip { low, high } if low.is_nan() || high.is_nan() || low > high => {
                        return bad("clip: `low` must not be above `high`");
                    }
                    Transform::Standardise { mean, std } if !(mean.is_finite() && *std > 0.0) => {
                        return bad("standardise: `std` must be above 0");
                    }
                    Transform::Bucketise { edges } if edges.is_empty() || !ascending(edges) => {
                        return bad("bucketise: `edges` must be ascending");
                    }
                    Transform::Quantile { knots } if knots.len() < 2 || !ascending(knots) => {
                        return bad("quantile: give at least two ascending `knots`");
                    }
                    Transform::IsMissing if f.transforms.len() > 1 => {
                        return bad("is_missing must be the only transform");
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
