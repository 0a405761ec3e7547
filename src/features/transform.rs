//! Numeric transforms, as they are written in a specification and a bundle.

use crate::error::detail;
use crate::json::{Notes, Read, read_struct, which};
use serde::Serialize;

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
        let op = which(&w.op, "log1p is_missing clip standardise bucketise quantile age ratio product ");
        // What each takes: of low, high, mean, std, edges, knots, unit, by, the last at the lowest bit.
        let takes: [u8; 9] = [
            0b0000_0000,
            0b0000_0000,
            0b1100_0000,
            0b0011_0000,
            0b0000_1000,
            0b0000_0100,
            0b0000_0010,
            0b0000_0001,
            0b0000_0001,
        ];
        let Some(takes) = takes.get(op) else {
            notes.wrong(detail(
                "`op` is none of log1p, clip {low, high}, standardise {mean, std}, bucketise {edges}, \
                 quantile {knots}, age {unit}, ratio {by}, product {by}, is_missing",
            ));
            return Transform::IsMissing;
        };
        let numbers = [w.low, w.high, w.mean, w.std].map(|x| x.is_some());
        let others = [w.edges.is_some(), w.knots.is_some(), w.unit.is_some(), w.by.is_some()];
        if numbers.iter().chain(&others).fold(0, |bits, &given| bits << 1 | u8::from(given)) != *takes {
            notes.wrong(detail(
                "parameters do not fit the `op`: clip {low, high}, standardise {mean, std}, bucketise {edges}, \
                 quantile {knots}, age {unit}, ratio {by}, product {by}",
            ));
        }
        let number = |x: Option<f64>| x.unwrap_or(0.0);
        match op {
            0 => Transform::Log1p,
            2 => Transform::Clip { low: number(w.low), high: number(w.high) },
            3 => Transform::Standardise { mean: number(w.mean), std: number(w.std) },
            4 => Transform::Bucketise { edges: w.edges.unwrap_or_default() },
            5 => Transform::Quantile { knots: w.knots.unwrap_or_default() },
            6 => Transform::Age { unit: w.unit.unwrap_or_default() },
            7 => Transform::Ratio { by: w.by.unwrap_or_default() },
            8 => Transform::Product { by: w.by.unwrap_or_default() },
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

impl Transform {
    /// What is wrong with the parameters.
    #[cfg(feature = "compile")]
    pub(super) fn problem(&self) -> Option<&'static str> {
        let ascending = |v: &[f64]| v.windows(2).all(|w| w[0] <= w[1]) && v.iter().all(|x| x.is_finite());
        match self {
            Transform::Clip { low, high } if low.is_nan() || high.is_nan() || low > high => {
                Some(detail("clip: `low` must not be above `high`"))
            }
            Transform::Standardise { mean, std } if !(mean.is_finite() && *std > 0.0) => {
                Some(detail("standardise: `std` must be above 0"))
            }
            Transform::Bucketise { edges } if edges.is_empty() || !ascending(edges) => {
                Some(detail("bucketise: `edges` must be ascending"))
            }
            Transform::Quantile { knots } if knots.len() < 2 || !ascending(knots) => {
                Some(detail("quantile: give at least two ascending `knots`"))
            }
            _ => None,
        }
    }
}

read_struct!(Written { op, low, high, mean, std, edges, knots, unit, by });
