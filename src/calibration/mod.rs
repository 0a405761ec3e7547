//! Calibration: a head's raw output becomes a probability (or a value) that means what it says.
//!
//! One calibrator a head and surface. All in f64, from the f32 that the model gave.

use crate::engine::{Interpreter, Plan, Slice, Tensors};
use crate::error::{Error, ErrorKind, Result, detail};
use crate::json::read_variants;
use ranklet_kernels::math::f64 as math;
use serde::Serialize;
use std::sync::Arc;

/// Keeps logit finite: the f64 next to 1 is this far from it.
const EPSILON: f64 = f64::EPSILON / 2.0;

/// A calibrator as a bundle stores it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibratorSpec {
    /// Piecewise linear between knots, constant outside. x ascending, y not descending where it was fitted so.
    Isotonic {
        /// f64 `[knots]` tensor.
        x: String,
        /// f64 `[knots]` tensor.
        y: String,
    },
    /// sigmoid(a s + b) (Platt 1999).
    Platt {
        /// Slope.
        a: f64,
        /// Intercept.
        b: f64,
    },
    /// sigmoid(logit(p) / t) (Guo et al. 2017).
    Temperature {
        /// Above 0.
        t: f64,
    },
    /// sigmoid(a ln p - b ln(1 - p) + c) (Kull et al. 2017).
    Beta {
        /// Weight of ln p.
        a: f64,
        /// Weight of -ln(1 - p).
        b: f64,
        /// Intercept.
        c: f64,
    },
    /// Any other graph `[N, 1] -> [N, 1]`.
    Plan {
        /// The plan.
        plan: Arc<Plan>,
    },
}

read_variants!(CalibratorSpec, "a calibrator that this runtime does not know", CalibratorSpec::Temperature { t: 1.0 };
    ;
    "isotonic" => Isotonic { x, y },
    "platt" => Platt { a, b },
    "temperature" => Temperature { t },
    "beta" => Beta { a, b, c },
    "plan" => Plan { plan },
    ;
);

/// A calibrator that is ready.
#[derive(Debug)]
pub enum Calibrator {
    /// See [`CalibratorSpec::Isotonic`].
    Isotonic {
        /// Ascending.
        x: Vec<f64>,
        /// At the same places.
        y: Vec<f64>,
    },
    /// See [`CalibratorSpec::Platt`].
    Platt {
        /// Slope.
        a: f64,
        /// Intercept.
        b: f64,
    },
    /// See [`CalibratorSpec::Temperature`].
    Temperature {
        /// Above 0.
        t: f64,
    },
    /// See [`CalibratorSpec::Beta`].
    Beta {
        /// Weight of ln p.
        a: f64,
        /// Weight of -ln(1 - p).
        b: f64,
        /// Intercept.
        c: f64,
    },
    /// See [`CalibratorSpec::Plan`].
    Plan(Box<Interpreter>),
}

impl Calibrator {
    /// Knots at most.
    pub const MAX_KNOTS: usize = 65_536;

    /// Checks a stored calibrator.
    ///
    /// # Errors
    /// `bundle_corrupt` says what is wrong with it.
    #[inline(never)]
    pub fn new(spec: &CalibratorSpec, tensors: &Tensors) -> Result<Calibrator> {
        let bad = |what: &str| Err(Error::new(ErrorKind::BundleCorrupt, format!("calibrator: {what}; compile again")));
        Ok(match spec {
            CalibratorSpec::Isotonic { x, y } => {
                let knots = |name: &String| tensors.get(name).and_then(|t| t.as_f64()).map(<[f64]>::to_vec);
                let (Some(x), Some(y)) = (knots(x), knots(y)) else { return bad(detail("its knots are missing")) };
                let ascending = x.windows(2).all(|w| w[0] < w[1]);
                let finite = x.iter().chain(&y).all(|v| v.is_finite());
                if x.is_empty() || x.len() != y.len() || x.len() > Self::MAX_KNOTS || !ascending || !finite {
                    return bad(detail("its knots are not ascending and finite"));
                }
                Calibrator::Isotonic { x, y }
            }
            CalibratorSpec::Platt { a, b } if a.is_finite() && b.is_finite() => Calibrator::Platt { a: *a, b: *b },
            CalibratorSpec::Temperature { t } if *t > 0.0 => Calibrator::Temperature { t: *t },
            CalibratorSpec::Beta { a, b, c } if [a, b, c].iter().all(|v| v.is_finite()) => {
                Calibrator::Beta { a: *a, b: *b, c: *c }
            }
            CalibratorSpec::Plan { plan } => {
                let interpreter = Interpreter::new(plan.clone(), tensors)?;
                let plan = interpreter.plan();
                if plan.inputs.len() != 1 || plan.outputs.len() != 1 {
                    return bad(detail("a calibrator has one input and one output"));
                }
                let one = |v: crate::engine::Value| v.width == 1 && v.dtype == crate::engine::DType::F32;
                if !one(interpreter.input(0)) || !one(interpreter.output(0)) {
                    return bad(detail("a calibrator is [N, 1] -> [N, 1]"));
                }
                Calibrator::Plan(Box::new(interpreter))
            }
            _ => return bad(detail("a parameter is out of range")),
        })
    }

    /// The calibrated value of one raw score. NaN gives NaN.
    pub fn apply(&mut self, score: f32) -> f64 {
        let s = f64::from(score);
        if s.is_nan() {
            return f64::NAN;
        }
        match self {
            Calibrator::Isotonic { x, y } => interpolate(x, y, s),
            Calibrator::Platt { a, b } => math::sigmoid(*a * s + *b),
            Calibrator::Temperature { t } => math::sigmoid(logit(s) / *t),
            Calibrator::Beta { a, b, c } => {
                let p = math::clamp(s, EPSILON, 1.0 - EPSILON);
                math::sigmoid(*a * math::ln(p) - *b * math::ln_1p(-p) + *c)
            }
            Calibrator::Plan(interpreter) => {
                let mut y = f64::NAN;
                // The ports were checked in `new`, so this run cannot fail.
                let _ = interpreter.run(&[Slice::F32(&[score])], 1, |_, _, data| {
                    y = data.f32().first().map_or(f64::NAN, |&v| f64::from(v));
                });
                y
            }
        }
    }
}

/// ln(p / (1 - p)) with p kept off 0 and 1.
pub fn logit(p: f64) -> f64 {
    let p = math::clamp(p, EPSILON, 1.0 - EPSILON);
    math::ln(p) - math::ln_1p(-p)
}

/// Linear between knots; the first and last value outside them.
fn interpolate(x: &[f64], y: &[f64], s: f64) -> f64 {
    let above = x.partition_point(|k| *k <= s);
    if above == 0 {
        return y[0];
    }
    if above == x.len() {
        return y[above - 1];
    }
    let (i, j) = (above - 1, above);
    y[i] + (s - x[i]) * ((y[j] - y[i]) / (x[j] - x[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Tensor;

    fn ready(spec: &CalibratorSpec) -> Result<Calibrator> {
        let mut tensors = Tensors::new();
        tensors.insert("x".into(), Tensor::f64(&[3], vec![0.0, 0.5, 1.0]));
        tensors.insert("y".into(), Tensor::f64(&[3], vec![0.1, 0.1, 0.7]));
        tensors.insert("down".into(), Tensor::f64(&[3], vec![0.0, 0.0, 1.0]));
        Calibrator::new(spec, &tensors)
    }

    #[test]
    fn isotonic_interpolates_and_is_constant_outside() {
        let mut c = ready(&CalibratorSpec::Isotonic { x: "x".into(), y: "y".into() }).unwrap();
        for (s, expected) in [(-1.0, 0.1), (0.25, 0.1), (0.5, 0.1), (0.75, 0.4), (1.0, 0.7), (2.0, 0.7)] {
            assert!((c.apply(s) - expected).abs() < 1e-12, "{s}");
        }
        assert!(c.apply(f32::NAN).is_nan());
        assert_eq!(c.apply(f32::INFINITY), 0.7);
    }

    #[test]
    fn parametric_forms() {
        let mut platt = ready(&CalibratorSpec::Platt { a: 2.0, b: -1.0 }).unwrap();
        assert_eq!(platt.apply(0.5), 0.5);
        let mut hot = ready(&CalibratorSpec::Temperature { t: 1.0 }).unwrap();
        assert!((hot.apply(0.3) - 0.3).abs() < 1e-7);
        let mut beta = ready(&CalibratorSpec::Beta { a: 1.0, b: 1.0, c: 0.0 }).unwrap();
        assert!((beta.apply(0.3) - 0.3).abs() < 1e-7);
        for c in [&mut hot, &mut beta] {
            assert!(c.apply(0.0).is_finite() && c.apply(1.0).is_finite());
        }
    }

    #[test]
    fn bad_calibrators_are_refused() {
        for spec in [
            CalibratorSpec::Isotonic { x: "down".into(), y: "y".into() },
            CalibratorSpec::Isotonic { x: "x".into(), y: "nowhere".into() },
            CalibratorSpec::Temperature { t: 0.0 },
            CalibratorSpec::Platt { a: f64::NAN, b: 0.0 },
        ] {
            assert_eq!(ready(&spec).unwrap_err().kind(), ErrorKind::BundleCorrupt);
        }
    }
}
