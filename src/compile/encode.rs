//! ai.onnx.ml's steps of preparation: scaling, norms, missing values, categories.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem, Values};
use super::elementwise::{binary, cast_to, chosen_by};
use super::lookup;
use super::lower::Lowering;
use super::moves::reshaped;
use super::norms::{reduced, unary};
use super::shape::Dim;
use crate::engine::plan::{Binary, DType, Op, Reduce, Unary};
use std::rc::Rc;

/// Comparisons of one row with the keys of an encoder.
const MAX_COMPARED: usize = 1 << 18;
/// Entries of a table of whole-number keys, for each key.
const SPARSE: i64 = 8;

/// Lowers a step of preparation; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    if call.spec.domain != "ai.onnx.ml" {
        return None;
    }
    Some(match call.spec.op.as_str() {
        "Scaler" => scaler(lowering, call),
        "Normalizer" => normalizer(lowering, call),
        "Imputer" => imputer(lowering, call),
        "Binarizer" => binarizer(lowering, call),
        "LabelEncoder" => label_encoder(lowering, call),
        "OneHotEncoder" => one_hot_encoder(lowering, call),
        _ => return None,
    })
}

/// A constant, of one element as a scalar.
fn row(elem: Elem, values: Values) -> Val {
    let len = match &values {
        Values::Float(v) => v.len(),
        Values::Int(v) => v.len(),
        Values::Text(v) => v.len(),
    };
    let dims = if len == 1 { vec![] } else { vec![len] };
    Val::Constant(Rc::new(Constant { elem, dims, values }))
}

fn floats(list: &[f32]) -> Val {
    row(Elem::F32, Values::Float(list.to_vec()))
}

/// A parameter of one element, or of one for each column of the last axis.
fn per_column(x: &Val, len: usize, what: &str) -> Result<(), String> {
    match x.shape().last() {
        _ if len == 1 => Ok(()),
        Some(Dim::Fixed(columns)) if *columns == len => Ok(()),
        _ => Err(format!("{len} elements of `{what}` for {}", super::shape::text(&x.shape()))),
    }
}

fn scaler(lowering: &mut Lowering, call: &Call) -> Lowered {
    let mut x = cast_to(lowering, call.need(0)?, Elem::F32)?;
    for (name, f) in [("offset", Binary::Sub), ("scale", Binary::Mul)] {
        let list = call.spec.floats(name);
        if !list.is_empty() {
            per_column(&x, list.len(), name)?;
            x = binary(lowering, f, &x, &floats(list))?;
        }
    }
    Ok(vec![x])
}

/// Each row by its norm; a row whose norm is zero stays as it is.
fn normalizer(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = cast_to(lowering, call.need(0)?, Elem::F32)?;
    let axis = x.shape().len().checked_sub(1).ok_or("its input is a scalar")?;
    let norm = match call.spec.string("norm").as_deref() {
        None | Some("MAX") => reduced(lowering, &x, Reduce::Max, &[axis], true)?,
        Some("L1") => {
            let sizes = unary(lowering, Unary::Abs, &x)?;
            reduced(lowering, &sizes, Reduce::Sum, &[axis], true)?
        }
        Some("L2") => {
            let squares = binary(lowering, Binary::Mul, &x, &x)?;
            let sum = reduced(lowering, &squares, Reduce::Sum, &[axis], true)?;
            unary(lowering, Unary::Sqrt, &sum)?
        }
        Some(other) => return Err(format!("the norm `{other}`: use MAX, L1 or L2")),
    };
    let nothing = binary(lowering, Binary::Equal, &norm, &floats(&[0.0]))?;
    let divisor = chosen_by(lowering, &nothing, &floats(&[1.0]), &norm)?;
    Ok(vec![binary(lowering, Binary::Div, &x, &divisor)?])
}

fn imputer(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    if !x.elem().is_float() {
        let values = call.spec.ints("imputed_value_int64s").unwrap_or(&[]);
        if values.is_empty() {
            return Ok(vec![x.clone()]);
        }
        per_column(x, values.len(), "imputed_value_int64s")?;
        let of = |list: &[i64]| row(x.elem(), Values::Int(list.to_vec()));
        let missing = binary(lowering, Binary::Equal, x, &of(&[call.spec.int("replaced_value_int64", 0)]))?;
        return Ok(vec![chosen_by(lowering, &missing, &of(values), x)?]);
    }
    let values = call.spec.floats("imputed_value_floats");
    if values.is_empty() {
        return Ok(vec![x.clone()]);
    }
    per_column(x, values.len(), "imputed_value_floats")?;
    let replaced = call.spec.float("replaced_value_float", 0.0);
    if replaced.is_nan() {
        // Only NaN differs from itself.
        let there = binary(lowering, Binary::Equal, x, x)?;
        return Ok(vec![chosen_by(lowering, &there, x, &floats(values))?]);
    }
    let missing = binary(lowering, Binary::Equal, x, &floats(&[replaced]))?;
    Ok(vec![chosen_by(lowering, &missing, &floats(values), x)?])
}

fn binarizer(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let as_float = cast_to(lowering, x, Elem::F32)?;
    let above = binary(lowering, Binary::Greater, &as_float, &floats(&[call.spec.float("threshold", 0.0)]))?;
    Ok(vec![cast_to(lowering, &above, x.elem())?])
}

const STRINGS: &str = "its labels are strings: encode them in the schema (a categorical feature with a vocabulary), or train with numbers";

/// Keys or values: a list of numbers, or (from version 4) a tensor.
fn numbers(call: &Call, name: &str) -> Result<Constant, String> {
    let list = match call.spec.tensor(&format!("{name}_tensor")) {
        Some(tensor) => Constant { dims: vec![tensor.len()], ..tensor },
        None => match (call.spec.ints(&format!("{name}_int64s")), call.spec.floats(&format!("{name}_floats"))) {
            (Some(ints), _) if !ints.is_empty() => Constant::i64(&[ints.len()], ints.to_vec()),
            (_, floats) => Constant::f32(&[floats.len()], floats.to_vec()),
        },
    };
    if list.elem == Elem::Text || list.len() == 0 { Err(STRINGS.into()) } else { Ok(list) }
}

/// What an element that is no key becomes.
fn fallback(call: &Call, values: &Constant) -> Result<Constant, String> {
    match call.spec.tensor("default_tensor") {
        Some(tensor) if tensor.len() == 1 && tensor.elem == values.elem => Ok(Constant { dims: vec![], ..tensor }),
        Some(_) => Err("its default is not one element of the values' type".into()),
        None if values.elem.is_float() => {
            let default = call.spec.float("default_float", -0.0);
            Constant::new(values.elem, &[], Values::Float(vec![default]))
        }
        None => Constant::new(values.elem, &[], Values::Int(vec![call.spec.int("default_int64", -1)])),
    }
}

/// The value of the first key that an element is; NaN is a key from version 4 on, as in ONNX Runtime.
fn label_encoder(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let (keys, values) = (numbers(call, "keys")?, numbers(call, "values")?);
    if keys.len() != values.len() {
        return Err(format!("{} keys and {} values", keys.len(), values.len()));
    }
    let default = fallback(call, &values)?;
    let elem = values.elem;
    let of = |i: usize| -> Val {
        let values = match &values.values {
            Values::Float(v) => Values::Float(vec![v[i]]),
            Values::Int(v) => Values::Int(vec![v[i]]),
            Values::Text(v) => Values::Text(vec![v[i].clone()]),
        };
        row(elem, values)
    };
    let default = Val::Constant(Rc::new(default));
    if x.elem().is_float() {
        let keys = keys.floats()?;
        let list: Vec<usize> = (0..keys.len()).filter(|&i| !keys[i].is_nan()).collect();
        let known = floats(&list.iter().map(|&i| keys[i]).collect::<Vec<_>>());
        let mut result =
            if list.is_empty() { default } else { compared(lowering, x, &known, &list, &values, default)? };
        let missing = keys.iter().position(|key| key.is_nan());
        if let Some(missing) = missing.filter(|_| call.spec.opset >= 4) {
            let there = binary(lowering, Binary::Equal, x, x)?;
            result = chosen_by(lowering, &there, &result, &of(missing))?;
        }
        return Ok(vec![result]);
    }
    if x.elem() == Elem::Bool {
        return Err("its input is of booleans: cast it to int64".into());
    }
    let list = keys.ints()?;
    let (low, high) = list.iter().fold((i64::MAX, i64::MIN), |(low, high), &key| (low.min(key), high.max(key)));
    let span = high.checked_sub(low).filter(|span| *span < SPARSE * (list.len() as i64 + SPARSE));
    let result = match span {
        Some(span) => tabled(lowering, x, &keys, low, span, &values, default)?,
        None => {
            let known = row(x.elem(), Values::Int(list.to_vec()));
            compared(lowering, x, &known, &(0..list.len()).collect::<Vec<_>>(), &values, default)?
        }
    };
    Ok(vec![result])
}

/// Keys that lie close together: a table from the first to the last.
fn tabled(
    lowering: &mut Lowering,
    x: &Val,
    keys: &Constant,
    low: i64,
    span: i64,
    values: &Constant,
    default: Val,
) -> Result<Val, String> {
    let Val::Constant(default) = &default else { return Err("its default is computed".into()) };
    let mut from = vec![values.len(); span as usize + 1];
    keys.ints()?.iter().enumerate().rev().for_each(|(i, &key)| from[(key - low) as usize] = i);
    from.push(values.len());
    let entries = match (&values.values, &default.values) {
        (Values::Float(v), Values::Float(d)) => {
            Values::Float(from.iter().map(|&i| *v.get(i).unwrap_or(&d[0])).collect())
        }
        (Values::Int(v), Values::Int(d)) => Values::Int(from.iter().map(|&i| *v.get(i).unwrap_or(&d[0])).collect()),
        _ => return Err(STRINGS.into()),
    };
    let table = Val::Constant(Rc::new(Constant { elem: values.elem, dims: vec![from.len()], values: entries }));
    // The last entry is that of all others.
    let wide = cast_to(lowering, x, Elem::I64)?;
    let int = |v: i64| Val::Constant(Rc::new(Constant::i64(&[], vec![v])));
    let above = binary(lowering, Binary::GreaterOrEqual, &wide, &int(low))?;
    let below = binary(lowering, Binary::LessOrEqual, &wide, &int(low + span))?;
    let inside = binary(lowering, Binary::And, &above, &below)?;
    let place = binary(lowering, Binary::Sub, &wide, &int(low))?;
    let place = chosen_by(lowering, &inside, &place, &int(span + 1))?;
    lookup::picked(lowering, &table, &place, 0)
}

/// Every element with every key; `list` says which value each key has.
fn compared(
    lowering: &mut Lowering,
    x: &Val,
    keys: &Val,
    list: &[usize],
    values: &Constant,
    default: Val,
) -> Result<Val, String> {
    let (value, shape) = lowering.operand(x)?;
    let (keys, _) = lowering.operand(keys)?;
    let keys = lowering.cast(keys, lowering.dtype_of(value));
    let (width, count) = (lowering.width(value), list.len());
    if width * count > MAX_COMPARED {
        return Err(format!("{count} keys far from each other for {width} elements: number the categories from 0 on"));
    }
    let op = Op::Binary { f: Binary::Equal, each: [count as u32, 1] };
    let hit = lowering.step(op, &[value, keys], DType::Bool, width * count);
    let marks = lowering.cast(hit, DType::I64);
    let over = |f: Reduce| Op::Reduce { f, group: count as u32, inner: 1 };
    let first = lowering.step(over(Reduce::ArgMax), &[marks], DType::I64, width);
    let any = lowering.step(over(Reduce::Sum), &[marks], DType::I64, width);
    let any = lowering.cast(any, DType::Bool);
    let index: Vec<i32> = list.iter().map(|&i| i as i32).collect();
    let table = super::table::Table { dims: vec![count], index };
    let table =
        super::moves::moved(lowering, &Val::Constant(Rc::new(values.clone())), &table, vec![Dim::Fixed(count)])?;
    let first = lowering.run(first, Elem::I64, shape.clone());
    let found = lookup::picked(lowering, &table, &first, 0)?;
    let any = lowering.run(any, Elem::Bool, shape);
    chosen_by(lowering, &any, &found, &default)
}

/// An axis more: 1 at the element's category, all 0 for one that is unknown.
fn one_hot_encoder(lowering: &mut Lowering, call: &Call) -> Lowered {
    let categories = call.spec.ints("cats_int64s").filter(|list| !list.is_empty()).ok_or(STRINGS)?;
    let mut sorted = categories.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|w| w[0] == w[1]) {
        return Err("a category is named twice".into());
    }
    let x = call.need(0)?;
    if call.spec.int("zeros", 1) == 0 {
        // An unknown category is an error in ONNX, and all zeros in the plan.
        let (value, _) = lowering.operand(x)?;
        lowering.limit(value, &categories.iter().map(|&c| c as f32).collect::<Vec<_>>());
    }
    let whole = cast_to(lowering, x, Elem::I64)?;
    let mut shape = whole.shape();
    shape.push(Dim::Fixed(1));
    let whole = reshaped(&whole, shape)?;
    let known = Val::Constant(Rc::new(Constant::i64(&[categories.len()], categories.to_vec())));
    let hit = binary(lowering, Binary::Equal, &whole, &known)?;
    Ok(vec![cast_to(lowering, &hit, Elem::F32)?])
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::{NodeBuilder, f32s, node};
    use super::super::twins::Given::Each;
    use super::super::twins::{agree, noise, numbers};
    use super::Constant;

    fn ml(op: &str) -> NodeBuilder {
        node(op).domain("ai.onnx.ml").opset(4)
    }

    /// Some elements missing, some zero.
    fn holed(dims: &[usize], missing: f32) -> Constant {
        let x = noise(dims, 3);
        let list = x.floats().unwrap().iter().enumerate();
        Constant::f32(
            dims,
            list.map(|(i, &v)| [v, missing, 0.0][if i % 5 == 1 { 1 } else { usize::from(i % 7 == 2) * 2 }]).collect(),
        )
    }

    #[test]
    fn columns_are_scaled_normed_filled_and_cut() {
        let x = noise(&[5, 3], 1);
        let scaler = ml("Scaler").floats("offset", &[0.5, -1.0, 2.0]).floats("scale", &[2.0]);
        agree(&scaler, &[Each(x.clone())], 1);
        agree(&scaler, &[Each(numbers(&[5, 3], -4, 4, 1))], 1);
        for norm in ["MAX", "L1", "L2"] {
            let node = ml("Normalizer").string("norm", norm);
            agree(&node, &[Each(x.clone())], 1);
            agree(&node, &[Each(f32s(&[2, 2], &[0.0, 0.0, 1e-30, -1e-30]))], 1);
        }
        for missing in [f32::NAN, -7.0] {
            let node = ml("Imputer").float("replaced_value_float", missing);
            agree(&node.clone().floats("imputed_value_floats", &[9.0]), &[Each(holed(&[5, 3], missing))], 1);
            agree(&node.floats("imputed_value_floats", &[7.0, 8.0, 9.0]), &[Each(holed(&[5, 3], missing))], 1);
        }
        let whole = ml("Imputer").int("replaced_value_int64", 2).ints("imputed_value_int64s", &[5, 6, 7]);
        agree(&whole, &[Each(numbers(&[6, 3], 0, 4, 2))], 1);
        agree(&ml("Binarizer").float("threshold", 0.25), &[Each(x)], 1);
    }

    #[test]
    fn categories_are_looked_up_and_marked() {
        let ids = numbers(&[9, 2], -3, 9, 5);
        let close = ml("LabelEncoder").ints("keys_int64s", &[3, 5, 3]);
        agree(&close.clone().floats("values_floats", &[0.5, 1.5, 9.0]), &[Each(ids.clone())], 1);
        agree(&close.ints("values_int64s", &[7, 8, 9]).int("default_int64", -2), &[Each(ids.clone())], 1);
        let far = ml("LabelEncoder").ints("keys_int64s", &[-3, 1 << 50, 5, 5]).ints("values_int64s", &[7, 8, 9, 10]);
        agree(&far, &[Each(ids.clone())], 1);
        let x = f32s(&[4, 1], &[2.0, f32::NAN, 1.0, 2.5]);
        let float = ml("LabelEncoder").floats("keys_floats", &[f32::NAN, 2.0, 2.0, 2.5]).float("default_float", 4.0);
        let float = float.floats("values_floats", &[1.0, 2.0, 3.0, 5.0]);
        agree(&float.clone().opset(2), &[Each(x.clone())], 1);
        agree(&float, &[Each(x.clone())], 1);
        let missing = ml("LabelEncoder").floats("keys_floats", &[f32::NAN]).ints("values_int64s", &[6]);
        agree(&missing, &[Each(x)], 1);
        agree(&ml("OneHotEncoder").ints("cats_int64s", &[4, 0, -2]), &[Each(ids)], 1);
        agree(&ml("OneHotEncoder").ints("cats_int64s", &[1, 0]), &[Each(noise(&[5, 2], 1))], 1);
    }
}
