//! Trigonometric functions, which rankers hardly use, by the plan's arithmetic: the page needs no code of its own for them.
//! Errors are a few units in the last place of numbers around 1. Sin, Cos and Tan of what is beyond 10,000 are NaN: there
//! the reduction would lose digits, and no score is better than a wrong one.
//! The polynomials are Chebyshev fits in x^2 on the reduced range, the rest of pi / 2 in three parts of few bits.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem};
use super::elementwise::{binary, cast_to, chosen_by};
use super::lower::Lowering;
use super::norms::unary;
use crate::engine::plan::{Binary, Unary};
use std::f32::consts::{FRAC_2_PI, FRAC_PI_2, FRAC_PI_4, LN_2};
use std::rc::Rc;

/// pi / 2 in parts: whole multiples of the first two up to 8,192 are exact.
const PARTS: [f32; 3] = [1.570_312_5, 4.837_513e-4, 7.549_79e-8];
/// (sin x / x - 1) / x^2, error below 6e-9 where |x| <= pi / 4.
const SINE: [f32; 4] = [-0.166_666_67, 8.333_332e-3, -1.984_004e-4, 2.724_385_2e-6];
/// (cos x - 1 + x^2 / 2) / x^4, error below 2e-9 there.
const COSINE: [f32; 4] = [0.041_666_668, -1.388_888_8e-3, 2.480_055_3e-5, -2.729_521e-7];
/// (atan x / x - 1) / x^2, error below 2e-8 where |x| <= tan(pi / 8).
const ARC: [f32; 5] = [-0.333_333_3, 0.199_995_16, -0.142_630_65, 0.107_337_25, -0.064_179_15];
/// Angles up to here keep their digits.
const FARTHEST: f32 = 10_000.0;
/// tan(pi / 8) and its inverse.
const EIGHTH: [f32; 2] = [0.414_213_57, 2.414_213_7];

/// Lowers a trigonometric or hyperbolic function; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    let f: fn(&mut On<'_>, &Val) -> Done = match call.spec.op.as_str() {
        "Sin" => |x, v| Ok(x.circle(v)?.0),
        "Cos" => |x, v| Ok(x.circle(v)?.1),
        "Tan" => |x, v| x.tan(v),
        "Asin" => |x, v| x.arc_sine(v),
        "Acos" => |x, v| {
            let arc = x.arc_sine(v)?;
            x.with(Binary::Sub, &scalar(FRAC_PI_2), &arc)
        },
        "Atan" => |x, v| x.arc(v),
        "Sinh" => |x, v| x.halves(v, Binary::Sub),
        "Cosh" => |x, v| x.halves(v, Binary::Add),
        "Asinh" => |x, v| x.area_sine(v),
        "Acosh" => |x, v| x.area_cosine(v),
        "Atanh" => |x, v| x.area_tangent(v),
        _ => return None,
    };
    Some(call.need(0).cloned().and_then(|x| {
        let x = cast_to(lowering, &x, Elem::F32)?;
        Ok(vec![f(&mut On(lowering), &x)?])
    }))
}

fn scalar(x: f32) -> Val {
    Val::Constant(Rc::new(Constant::f32(&[], vec![x])))
}

/// Arithmetic on values, written into the plan.
struct On<'a>(&'a mut Lowering);

type Done = Result<Val, String>;

impl On<'_> {
    fn with(&mut self, f: Binary, a: &Val, b: &Val) -> Done {
        binary(self.0, f, a, b)
    }

    fn by(&mut self, f: Binary, a: &Val, b: f32) -> Done {
        binary(self.0, f, a, &scalar(b))
    }

    fn of(&mut self, f: Unary, x: &Val) -> Done {
        unary(self.0, f, x)
    }

    fn chosen_by(&mut self, condition: &Val, a: &Val, b: &Val) -> Done {
        chosen_by(self.0, condition, a, b)
    }

    /// `x + x x^2 p(x^2)`.
    fn odd(&mut self, x: &Val, coefficients: &[f32]) -> Done {
        let square = self.with(Binary::Mul, x, x)?;
        let sum = self.polynomial(&square, coefficients)?;
        let sum = self.with(Binary::Mul, &sum, &square)?;
        let sum = self.with(Binary::Mul, &sum, x)?;
        self.with(Binary::Add, x, &sum)
    }

    /// By Horner's rule.
    fn polynomial(&mut self, x: &Val, coefficients: &[f32]) -> Done {
        let mut list = coefficients.iter().rev();
        let mut sum = scalar(list.next().copied().unwrap_or(0.0));
        for coefficient in list {
            sum = self.with(Binary::Mul, x, &sum)?;
            sum = self.by(Binary::Add, &sum, *coefficient)?;
        }
        Ok(sum)
    }

    /// Sine and cosine: of what is left of x after whole quarters of the circle, turned by those quarters.
    fn circle(&mut self, x: &Val) -> Result<(Val, Val), String> {
        let quarters = self.by(Binary::Mul, x, FRAC_2_PI)?;
        let quarters = self.of(Unary::Round, &quarters)?;
        let mut rest = x.clone();
        for part in PARTS {
            let gone = self.by(Binary::Mul, &quarters, part)?;
            rest = self.with(Binary::Sub, &rest, &gone)?;
        }
        let size = self.of(Unary::Abs, x)?;
        let near = self.by(Binary::LessOrEqual, &size, FARTHEST)?;
        let rest = self.chosen_by(&near, &rest, &scalar(f32::NAN))?;
        let sine = self.odd(&rest, &SINE)?;
        let square = self.with(Binary::Mul, &rest, &rest)?;
        let sum = self.polynomial(&square, &COSINE)?;
        let sum = self.with(Binary::Mul, &sum, &square)?;
        let sum = self.by(Binary::Sub, &sum, 0.5)?;
        let sum = self.with(Binary::Mul, &sum, &square)?;
        let cosine = self.by(Binary::Add, &sum, 1.0)?;
        let place = self.by(Binary::Mod, &quarters, 4.0)?;
        let odd = self.by(Binary::Mod, &place, 2.0)?;
        let odd = self.by(Binary::Equal, &odd, 1.0)?;
        let (first, second) = (self.chosen_by(&odd, &cosine, &sine)?, self.chosen_by(&odd, &sine, &cosine)?);
        // Quarters 2 and 3 turn the sine about, 1 and 2 the cosine.
        let below = self.by(Binary::GreaterOrEqual, &place, 2.0)?;
        let middle = self.by(Binary::Sub, &place, 1.5)?;
        let middle = self.of(Unary::Abs, &middle)?;
        let left = self.by(Binary::Less, &middle, 1.0)?;
        Ok((self.turned(&below, &first)?, self.turned(&left, &second)?))
    }

    /// The negative where the condition holds.
    fn turned(&mut self, condition: &Val, x: &Val) -> Done {
        let negative = self.of(Unary::Neg, x)?;
        self.chosen_by(condition, &negative, x)
    }

    fn tan(&mut self, x: &Val) -> Done {
        let (sine, cosine) = self.circle(x)?;
        self.with(Binary::Div, &sine, &cosine)
    }

    /// The angle of a tangent: above tan(pi / 8) that of (x - 1) / (x + 1) and pi / 4, above its inverse that of -1 / x
    /// and pi / 2.
    fn arc(&mut self, x: &Val) -> Done {
        let size = self.of(Unary::Abs, x)?;
        let [low, high] = EIGHTH;
        let (above, far) = (self.by(Binary::Greater, &size, low)?, self.by(Binary::Greater, &size, high)?);
        let less = self.by(Binary::Sub, &size, 1.0)?;
        let more = self.by(Binary::Add, &size, 1.0)?;
        let between = self.with(Binary::Div, &less, &more)?;
        let inverse = self.with(Binary::Div, &scalar(-1.0), &size)?;
        let rest = self.chosen_by(&above, &between, &size)?;
        let rest = self.chosen_by(&far, &inverse, &rest)?;
        let start = self.chosen_by(&above, &scalar(FRAC_PI_4), &scalar(0.0))?;
        let start = self.chosen_by(&far, &scalar(FRAC_PI_2), &start)?;
        let arc = self.odd(&rest, &ARC)?;
        let arc = self.with(Binary::Add, &start, &arc)?;
        let below = self.by(Binary::Less, x, 0.0)?;
        self.turned(&below, &arc)
    }

    /// The angle whose tangent is `x / sqrt((1 - x) (1 + x))`.
    fn arc_sine(&mut self, x: &Val) -> Done {
        let (less, more) = (self.with(Binary::Sub, &scalar(1.0), x)?, self.by(Binary::Add, x, 1.0)?);
        let product = self.with(Binary::Mul, &less, &more)?;
        let side = self.of(Unary::Sqrt, &product)?;
        let tangent = self.with(Binary::Div, x, &side)?;
        self.arc(&tangent)
    }

    /// `e^x / 2` plus or minus `e^-x / 2`. Halved in the exponent where e^x may overflow and half of it does not, and nowhere else:
    /// the exponent's rounding is an error of the result's many units.
    fn halves(&mut self, x: &Val, f: Binary) -> Done {
        let negative = self.of(Unary::Neg, x)?;
        let mut half = |x: &Val| {
            let (large, less) = (self.by(Binary::Greater, x, 88.0)?, self.by(Binary::Sub, x, LN_2)?);
            let exponent = self.chosen_by(&large, &less, x)?;
            let power = self.of(Unary::Exp, &exponent)?;
            let halved = self.by(Binary::Mul, &power, 0.5)?;
            self.chosen_by(&large, &power, &halved)
        };
        let (up, down) = (half(x)?, half(&negative)?);
        self.with(f, &up, &down)
    }

    /// `ln(2 x)` where the square of x would overflow, else the logarithm given.
    fn large(&mut self, x: &Val, log: &Val) -> Done {
        let plain = self.of(Unary::Log, x)?;
        let plain = self.by(Binary::Add, &plain, LN_2)?;
        let large = self.by(Binary::Greater, x, 1e9)?;
        self.chosen_by(&large, &plain, log)
    }

    fn area_sine(&mut self, x: &Val) -> Done {
        let size = self.of(Unary::Abs, x)?;
        let square = self.with(Binary::Mul, &size, &size)?;
        let sum = self.by(Binary::Add, &square, 1.0)?;
        let root = self.of(Unary::Sqrt, &sum)?;
        let sum = self.with(Binary::Add, &size, &root)?;
        let log = self.of(Unary::Log, &sum)?;
        let area = self.large(&size, &log)?;
        let below = self.by(Binary::Less, x, 0.0)?;
        self.turned(&below, &area)
    }

    fn area_cosine(&mut self, x: &Val) -> Done {
        // Two roots: of a product of two negative factors there would be one.
        let (less, more) = (self.by(Binary::Sub, x, 1.0)?, self.by(Binary::Add, x, 1.0)?);
        let (less, more) = (self.of(Unary::Sqrt, &less)?, self.of(Unary::Sqrt, &more)?);
        let product = self.with(Binary::Mul, &less, &more)?;
        let sum = self.with(Binary::Add, x, &product)?;
        let log = self.of(Unary::Log, &sum)?;
        self.large(x, &log)
    }

    fn area_tangent(&mut self, x: &Val) -> Done {
        let (less, more) = (self.with(Binary::Sub, &scalar(1.0), x)?, self.by(Binary::Add, x, 1.0)?);
        let ratio = self.with(Binary::Div, &more, &less)?;
        let log = self.of(Unary::Log, &ratio)?;
        self.by(Binary::Mul, &log, 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::node;
    use super::super::twins::{Given::Each, agree, planned};
    use super::Constant;
    use crate::engine::Buffer;

    /// From `low` to `high`, and what borders on them.
    fn check(op: &str, low: f32, high: f32) {
        let steps = 4_001;
        let list = (0..steps).map(|i| low + (high - low) * i as f32 / (steps - 1) as f32);
        let list: Vec<f32> = list.chain([low, high, 0.0, 1.0, 1e-20]).filter(|x| (low..=high).contains(x)).collect();
        agree(&node(op), &[Each(Constant::f32(&[list.len(), 1], list))], 1);
    }

    #[test]
    fn functions_are_right_on_their_ranges() {
        check("Sin", -40.0, 40.0);
        check("Cos", -40.0, 40.0);
        check("Sin", 9_000.0, 10_000.0);
        check("Cos", -10_000.0, -9_000.0);
        check("Tan", -1.4, 1.4);
        check("Tan", 20.5, 23.4);
        check("Asin", -1.0, 1.0);
        check("Acos", -1.0, 1.0);
        check("Atan", -40.0, 40.0);
        check("Atan", -1e30, 1e30);
        check("Sinh", -60.0, 60.0);
        check("Cosh", -60.0, 60.0);
        check("Sinh", 88.0, 89.4);
        check("Cosh", -89.4, -88.0);
        check("Asinh", -40.0, 40.0);
        check("Asinh", -1e30, 1e30);
        check("Acosh", 1.0, 40.0);
        check("Acosh", 1e10, 1e30);
        check("Atanh", -1.0, 1.0);
    }

    #[test]
    fn outside_of_a_range_there_is_no_number() {
        let outside = Constant::f32(&[4, 1], vec![-1.5, 2.0, f32::NAN, -30.0]);
        for op in ["Asin", "Acos", "Atanh"] {
            agree(&node(op), &[Each(outside.clone())], 1);
        }
        agree(&node("Acosh"), &[Each(Constant::f32(&[3, 1], vec![0.5, -3.0, f32::NAN]))], 1);
        let far = Constant::f32(&[3, 1], vec![10_001.0, -3e38, f32::INFINITY]);
        for op in ["Sin", "Cos", "Tan"] {
            let got = planned(&node(op), &[Each(far.clone())], 1).unwrap();
            let Buffer::F32(list) = &got[0] else { panic!("{got:?}") };
            assert!(list.iter().all(|v| v.is_nan()), "{op}: {list:?}");
        }
    }
}
