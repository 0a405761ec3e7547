//! ai.onnx.ml: linear models and what is fitted column by column.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::convert::cast;
use super::elementwise::rounded;
use super::scores::{self, Second};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "Scaler" => scaler,
        "Imputer" => imputer,
        "Normalizer" => normalizer,
        "Binarizer" => binarizer,
        "LinearRegressor" => linear_regressor,
        "LinearClassifier" => linear_classifier,
        // A ZipMap'd output is the matrix that it is made from.
        "ZipMap" => |_, args| Ok(vec![cast(args.get(0)?, Elem::F32)?]),
        _ => return None,
    })
}

/// A value as rows of f32: all axes but the first are columns, a vector is one row.
pub(super) fn rows(x: &Constant) -> Result<(Vec<Vec<f32>>, usize), String> {
    let width: usize = match x.dims[..] {
        [] => return Err("a value of rank 0".into()),
        [width] => width,
        _ => x.dims[1..].iter().product(),
    };
    let n = if x.rank() == 1 { 1 } else { x.dims[0] };
    let x = cast(x, Elem::F32)?;
    let v = x.floats()?;
    Ok(((0..n).map(|r| v[r * width..(r + 1) * width].to_vec()).collect(), width))
}

/// One parameter for every column, or one for each.
fn column<T: Copy>(list: &[T], column: usize, default: T) -> Result<T, String> {
    match list {
        [] => Ok(default),
        [one] => Ok(*one),
        _ => list.get(column).copied().ok_or_else(|| format!("{} parameters for column {column}", list.len())),
    }
}

/// A float tensor from another of any numeric type: `f` of an element and its place on the last axis.
fn by_column(x: &Constant, f: impl Fn(f32, usize) -> Result<f32, String>) -> Outputs {
    let width = x.dims.last().copied().unwrap_or(1);
    let x = cast(x, Elem::F32)?;
    let y = x.floats()?.iter().enumerate().map(|(i, &v)| f(v, i % width)).collect::<Result<_, _>>()?;
    Ok(vec![Constant::new(Elem::F32, &x.dims, Values::Float(y))?])
}

fn scaler(spec: &Spec, args: &Args) -> Outputs {
    let (offset, scale) = (spec.floats("offset"), spec.floats("scale"));
    by_column(args.get(0)?, |v, c| Ok((v - column(offset, c, 0.0)?) * column(scale, c, 1.0)?))
}

fn imputer(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    if x.elem.is_float() {
        let (values, replaced) = (spec.floats("imputed_value_floats"), spec.float("replaced_value_float", 0.0));
        let missing = |v: f32| if replaced.is_nan() { v.is_nan() } else { v == replaced };
        return by_column(x, |v, c| if missing(v) { column(values, c, v) } else { Ok(v) });
    }
    let (values, replaced) = (spec.ints("imputed_value_int64s").unwrap_or(&[]), spec.int("replaced_value_int64", 0));
    let width = x.dims.last().copied().unwrap_or(1);
    let impute = |(i, &v): (usize, &i64)| if v == replaced { column(values, i % width, v) } else { Ok(v) };
    let y = x.ints()?.iter().enumerate().map(impute).collect::<Result<_, _>>()?;
    Ok(vec![Constant::new(x.elem, &x.dims, Values::Int(y))?])
}

/// Each row divided by its norm; a row of norm zero stays.
fn normalizer(spec: &Spec, args: &Args) -> Outputs {
    let x = cast(args.get(0)?, Elem::F32)?;
    let norm = spec.string("norm").unwrap_or_else(|| "MAX".into());
    let mut y = vec![];
    for row in x.floats()?.chunks(x.dims.last().copied().unwrap_or(1).max(1)) {
        let row = row.iter().map(|&v| f64::from(v));
        let size = match norm.as_str() {
            "MAX" => super::reduce::extreme(&row.clone().collect::<Vec<_>>(), false),
            "L1" => row.clone().map(f64::abs).sum(),
            // ONNX Runtime squares in f32: a row whose squares vanish there stays.
            "L2" => row.clone().map(|v| f64::from((v * v) as f32)).sum::<f64>().sqrt(),
            other => return Err(format!("the norm `{other}`")),
        };
        y.extend(row.map(|v| if size == 0.0 { v } else { v / size }));
    }
    Ok(vec![rounded(Elem::F32, &x.dims, y)?])
}

fn binarizer(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let threshold = spec.float("threshold", 0.0);
    let marks = cast(x, Elem::F32)?.floats()?.iter().map(|&v| i64::from(v > threshold)).collect();
    Ok(vec![cast(&Constant::i64(&x.dims, marks), x.elem)?])
}

/// For every row the products with `targets` rows of coefficients, in f64 and rounded once.
fn linear(spec: &Spec, x: &Constant, targets: usize) -> Result<Vec<Vec<f32>>, String> {
    let (coefficients, intercepts) = (spec.floats("coefficients"), spec.floats("intercepts"));
    let (rows, width) = rows(x)?;
    if targets == 0 || coefficients.len() != targets * width || !(intercepts.is_empty() || intercepts.len() == targets)
    {
        return Err(format!(
            "{} coefficients and {} intercepts for {targets} targets of {width} columns",
            coefficients.len(),
            intercepts.len()
        ));
    }
    let score = |row: &Vec<f32>, t: usize| {
        let products = row.iter().zip(&coefficients[t * width..]).map(|(&v, &w)| f64::from(v) * f64::from(w));
        (products.sum::<f64>() + f64::from(intercepts.get(t).copied().unwrap_or(0.0))) as f32
    };
    Ok(rows.iter().map(|row| (0..targets).map(|t| score(row, t)).collect()).collect())
}

fn linear_regressor(spec: &Spec, args: &Args) -> Outputs {
    let targets = super::shape::size(spec.int("targets", 1))?;
    let post = scores::named(spec.string("post_transform"))?;
    let scores = linear(spec, args.get(0)?, targets)?;
    let y: Vec<f32> = scores.iter().flat_map(|scores| scores::finish(post, scores, Second::None)).collect();
    Ok(vec![Constant::new(Elem::F32, &[scores.len(), targets], Values::Float(y))?])
}

/// Labels and scores; string labels are their indices. One row of coefficients for two labels gives a
/// second score.
fn linear_classifier(spec: &Spec, args: &Args) -> Outputs {
    let post = scores::named(spec.string("post_transform"))?;
    let labels: Vec<i64> = match spec.ints("classlabels_ints") {
        Some(ints) if !ints.is_empty() => ints.to_vec(),
        _ => (0..spec.strings("classlabels_strings").len() as i64).collect(),
    };
    let width = rows(args.get(0)?)?.1;
    let targets = spec.floats("coefficients").len() / width.max(1);
    let second = if targets == 1 && labels.len() == 2 { Second::Probability } else { Second::None };
    if targets != labels.len() && targets != 1 {
        return Err(format!("{targets} rows of coefficients for {} classes", labels.len()));
    }
    if targets == 1 && post == crate::engine::plan::PostTransform::Probit {
        return Err("PROBIT with one score".into());
    }
    let (mut chosen, mut y) = (vec![], vec![]);
    for row in linear(spec, args.get(0)?, targets)? {
        chosen.push(match (row.len(), labels.len()) {
            (1, 2) => labels[usize::from(row[0] > 0.0)],
            (1, _) => i64::from(row[0] > 0.0),
            _ => labels[(1..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best })],
        });
        y.extend(scores::finish(post, &row, second));
    }
    let (n, width) = (chosen.len(), if second == Second::None { targets } else { 2 });
    Ok(vec![Constant::i64(&[n], chosen), Constant::new(Elem::F32, &[n, width], Values::Float(y))?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NodeBuilder, f32s, i64s, node};

    fn ml(op: &str) -> NodeBuilder {
        node(op).domain("ai.onnx.ml").opset(3)
    }

    #[test]
    fn columns_are_scaled_filled_and_cut() {
        let x = f32s(&[2, 2], &[1.0, f32::NAN, -3.0, 4.0]);
        let scaled = ml("Scaler").floats("offset", &[1.0, 0.0]).floats("scale", &[2.0]);
        assert_eq!(scaled.run1(&[&f32s(&[1, 2], &[3.0, 4.0])]), f32s(&[1, 2], &[4.0, 8.0]));
        assert_eq!(scaled.run1(&[&i64s(&[1, 2], &[3, 4])]), f32s(&[1, 2], &[4.0, 8.0]));
        let filled = ml("Imputer").floats("imputed_value_floats", &[7.0, 8.0]).float("replaced_value_float", f32::NAN);
        assert_eq!(filled.run1(&[&x]), f32s(&[2, 2], &[1.0, 8.0, -3.0, 4.0]));
        let ints = ml("Imputer").ints("imputed_value_int64s", &[9]).int("replaced_value_int64", -1);
        assert_eq!(ints.run1(&[&i64s(&[1, 2], &[-1, 5])]), i64s(&[1, 2], &[9, 5]));
        let cut = ml("Binarizer").float("threshold", 1.0);
        assert_eq!(cut.run1(&[&x]), f32s(&[2, 2], &[0.0, 0.0, 0.0, 1.0]));
        let normed = |norm: &str, v: &[f32]| ml("Normalizer").string("norm", norm).run1(&[&f32s(&[1, 2], v)]);
        assert_eq!(normed("L1", &[1.0, -3.0]), f32s(&[1, 2], &[0.25, -0.75]));
        assert_eq!(normed("L2", &[3.0, -4.0]), f32s(&[1, 2], &[0.6, -0.8]));
        assert_eq!(normed("MAX", &[2.0, -4.0]), f32s(&[1, 2], &[1.0, -2.0]));
        assert_eq!(normed("L2", &[0.0, 0.0]), f32s(&[1, 2], &[0.0, 0.0]));
    }

    #[test]
    fn linear_models_score_and_choose() {
        let x = f32s(&[2, 2], &[1.0, 2.0, -1.0, 0.5]);
        let regressor = ml("LinearRegressor").floats("coefficients", &[1.0, 10.0]).floats("intercepts", &[0.5]);
        assert_eq!(regressor.run1(&[&x]), f32s(&[2, 1], &[21.5, 4.5]));
        let classes = ml("LinearClassifier")
            .floats("coefficients", &[1.0, 0.0, 0.0, 1.0])
            .floats("intercepts", &[0.0, 0.0])
            .ints("classlabels_ints", &[7, 9]);
        let outputs = classes.run(&[Some(&x)]).unwrap();
        assert_eq!(outputs, [i64s(&[2], &[9, 9]), f32s(&[2, 2], &[1.0, 2.0, -1.0, 0.5])]);
        let one = ml("LinearClassifier")
            .floats("coefficients", &[1.0, 0.0])
            .floats("intercepts", &[0.25])
            .strings("classlabels_strings", &["no", "yes"]);
        let outputs = one.run(&[Some(&x)]).unwrap();
        assert_eq!(outputs, [i64s(&[2], &[1, 0]), f32s(&[2, 2], &[-0.25, 1.25, 1.75, -0.75])]);
    }
}
