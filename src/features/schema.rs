//! The declared schema: the `features` section of a specification and of a bundle.

use crate::error::{Error, ErrorKind, Result, detail};
use crate::json::{Notes, Read, read_names, read_struct};
use serde::Serialize;

/// What a source's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encode {
    /// Its place in the vocabulary; unknown is -1, missing stays missing.
    #[default]
    Index,
    /// One column a vocabulary entry; unknown and missing are all zeros.
    OneHot,
}

/// How the signals of related keys are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Their sum.
    #[default]
    Sum,
    /// The largest.
    Max,
}

/// A numeric transform. NaN (missing) passes through all but [`Transform::IsMissing`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "Written")]
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

/// A transform as it is written: `op` and the parameters it takes. (An internally tagged enum reads the
/// same text, at several times the bytes in the page.)
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Written {
    op: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    std: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    knots: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

impl Read for Transform {
    #[inline(never)]
    fn read(value: &serde_json::Value, notes: &mut Notes) -> Self {
        let w = Written::read(value, notes);
        let given = [&w.low, &w.high, &w.mean, &w.std].map(Option::is_some);
        let lists = [w.edges.is_some(), w.knots.is_some()];
        let texts = [w.unit.is_some(), w.by.is_some()];
        // What each takes: of low, high, mean, std; of edges, knots; of unit, by.
        let takes = match w.op.as_str() {
            "log1p" | "is_missing" => (0b0000, 0b00, 0b00),
            "clip" => (0b0011, 0b00, 0b00),
            "standardise" => (0b1100, 0b00, 0b00),
            "bucketise" => (0b0000, 0b01, 0b00),
            "quantile" => (0b0000, 0b10, 0b00),
            "age" => (0b0000, 0b00, 0b01),
            "ratio" | "product" => (0b0000, 0b00, 0b10),
            _ => {
                notes.wrong(detail(
                    "`op` is none of log1p, clip {low, high}, standardise {mean, std}, bucketise {edges}, \
                     quantile {knots}, age {unit}, ratio {by}, product {by}, is_missing",
                ));
                return Transform::IsMissing;
            }
        };
        let bits = |given: &[bool]| given.iter().rev().fold(0, |bits, &g| bits << 1 | u32::from(g));
        if (bits(&given), bits(&lists), bits(&texts)) != takes {
            notes.wrong(detail(
                "parameters do not fit the `op`: clip {low, high}, standardise {mean, std}, bucketise {edges}, \
                 quantile {knots}, age {unit}, ratio {by}, product {by}",
            ));
        }
        let number = |x: Option<f64>| x.unwrap_or(0.0);
        match w.op.as_str() {
            "log1p" => Transform::Log1p,
            "clip" => Transform::Clip { low: number(w.low), high: number(w.high) },
            "standardise" => Transform::Standardise { mean: number(w.mean), std: number(w.std) },
            "bucketise" => Transform::Bucketise { edges: w.edges.unwrap_or_default() },
            "quantile" => Transform::Quantile { knots: w.knots.unwrap_or_default() },
            "age" => Transform::Age { unit: w.unit.unwrap_or_default() },
            "ratio" => Transform::Ratio { by: w.by.unwrap_or_default() },
            "product" => Transform::Product { by: w.by.unwrap_or_default() },
            _ => Transform::IsMissing,
        }
    }
}

impl From<Transform> for Written {
    fn from(t: Transform) -> Written {
        let op = |op: &str| Written { op: op.to_owned(), ..Written::default() };
        match t {
            Transform::Log1p => op("log1p"),
            Transform::Clip { low, high } => Written { low: Some(low), high: Some(high), ..op("clip") },
            Transform::Standardise { mean, std } => Written { mean: Some(mean), std: Some(std), ..op("standardise") },
            Transform::Bucketise { edges } => Written { edges: Some(edges), ..op("bucketise") },
            Transform::Quantile { knots } => Written { knots: Some(knots), ..op("quantile") },
            Transform::Age { unit } => Written { unit: Some(unit), ..op("age") },
            Transform::Ratio { by } => Written { by: Some(by), ..op("ratio") },
            Transform::Product { by } => Written { by: Some(by), ..op("product") },
            Transform::IsMissing => op("is_missing"),
        }
    }
}

/// One feature: a source, how it is read, and its transforms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feature {
    /// Unique name.
    pub name: String,
    /// Source path, e.g. `candidate.features.budget`, `facts.account.age`, `local.key.open.10m`.
    pub from: String,
    /// What the source's values are.
    pub kind: Kind,
    /// Numeric transforms, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
    /// Categorical: known values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vocabulary: Vec<String>,
    /// Categorical with a vocabulary: form.
    pub encode: Encode,
    /// Categorical without a vocabulary: number of hash buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_buckets: Option<u32>,
    /// Related: the key-scope counter, e.g. `key.accept.10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Related: how the keys' values are joined.
    pub aggregate: Aggregate,
    /// Takes the place of NaN at the very end; without it missing stays NaN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<f64>,
}

/// All features, in the order of the model's columns.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
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
    #[inline(never)]
    pub fn check(&self) -> Result<()> {
        if self.features.len() > Self::MAX_FEATURES {
            return Err(Error::new(ErrorKind::LimitExceeded, "a schema has at most 4096 features"));
        }
        let mut names = std::collections::BTreeSet::new();
        for f in &self.features {
            let bad = |what: &str| Err(Error::new(ErrorKind::SchemaMismatch, format!("feature `{}`: {what}", f.name)));
            if !names.insert(&f.name) {
                return bad(detail("the name stands twice"));
            }
            let numeric = matches!(f.kind, Kind::Numeric | Kind::Boolean | Kind::Related);
            if !numeric && !f.transforms.is_empty() {
                return bad(detail("a categorical feature takes no transforms"));
            }
            if numeric && (!f.vocabulary.is_empty() || f.hash_buckets.is_some()) {
                return bad(detail("`vocabulary` and `hash_buckets` need `kind = \"categorical\"`"));
            }
            if !numeric && f.vocabulary.is_empty() == f.hash_buckets.is_none_or(|b| b == 0) {
                return bad(detail("give either a `vocabulary` or `hash_buckets` above 0"));
            }
            if f.vocabulary.len() > 65_536 {
                return bad(detail("a vocabulary has at most 65,536 entries"));
            }
            if (f.kind == Kind::Related) != f.signal.is_some() {
                return bad(detail("`signal` goes with `kind = \"related\"`, and it needs one"));
            }
            for t in &f.transforms {
                let ascending = |v: &[f64]| v.windows(2).all(|w| w[0] <= w[1]) && v.iter().all(|x| x.is_finite());
                match t {
                    Transform::Clip { low, high } if low.is_nan() || high.is_nan() || low > high => {
                        return bad(detail("clip: `low` must not be above `high`"));
                    }
                    Transform::Standardise { mean, std } if !(mean.is_finite() && *std > 0.0) => {
                        return bad(detail("standardise: `std` must be above 0"));
                    }
                    Transform::Bucketise { edges } if edges.is_empty() || !ascending(edges) => {
                        return bad(detail("bucketise: `edges` must be ascending"));
                    }
                    Transform::Quantile { knots } if knots.len() < 2 || !ascending(knots) => {
                        return bad(detail("quantile: give at least two ascending `knots`"));
                    }
                    Transform::IsMissing if f.transforms.len() > 1 => {
                        return bad(detail("is_missing must be the only transform"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

read_names!(Kind { "numeric" => Numeric, "boolean" => Boolean, "categorical" => Categorical, "related" => Related });
read_names!(Encode { "index" => Index, "one_hot" => OneHot });
read_names!(Aggregate { "sum" => Sum, "max" => Max });
read_struct!(Written { op, low, high, mean, std, edges, knots, unit, by });
read_struct!(Feature {
    name, from, hash_buckets, signal, missing;
    kind = Kind::Numeric, transforms = Vec::new(), vocabulary = Vec::new(), encode = Encode::Index,
    aggregate = Aggregate::Sum
});

impl Read for Schema {
    fn read(value: &serde_json::Value, notes: &mut Notes) -> Self {
        Schema { features: Vec::read(value, notes) }
    }
}
