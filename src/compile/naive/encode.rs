//! ai.onnx.ml: categories and columns: LabelEncoder, OneHotEncoder, ArrayFeatureExtractor, FeatureVectorizer.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::convert::saturate;
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "LabelEncoder" => label_encoder,
        "OneHotEncoder" => one_hot,
        "ArrayFeatureExtractor" => super::gather::array_feature_extractor,
        "FeatureVectorizer" => super::gather::feature_vectorizer,
        _ => return None,
    })
}

/// Keys or values: an attribute of numbers, or (from version 4 on) a tensor.
fn numbers(spec: &Spec, name: &str) -> Result<Constant, String> {
    if let Some(tensor) = spec.tensor(&format!("{name}_tensor")) {
        return match tensor.elem {
            Elem::Text => Err(strings()),
            _ => super::shape::reshaped(&tensor, vec![tensor.len()]),
        };
    }
    if let Some(ints) = spec.ints(&format!("{name}_int64s")).filter(|ints| !ints.is_empty()) {
        return Ok(Constant::i64(&[ints.len()], ints.to_vec()));
    }
    let floats = spec.floats(&format!("{name}_floats"));
    if floats.is_empty() { Err(strings()) } else { Ok(Constant::f32(&[floats.len()], floats.to_vec())) }
}

fn strings() -> String {
    "its labels are strings: encode them before the model, or train with numbers".into()
}

/// The value at the place of an element among the keys (the first of equal keys, as in ONNX Runtime; NaN is a key from
/// version 4 on), or the default.
fn label_encoder(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let (keys, values) = (numbers(spec, "keys")?, numbers(spec, "values")?);
    if keys.len() != values.len() {
        return Err(format!("{} keys and {} values", keys.len(), values.len()));
    }
    let default = match spec.tensor("default_tensor") {
        Some(tensor) if tensor.len() == 1 => tensor,
        Some(tensor) => return Err(format!("a default of shape {:?}", tensor.dims)),
        None if values.elem.is_float() => {
            Constant::new(values.elem, &[1], Values::Float(vec![spec.float("default_float", -0.0)]))?
        }
        None => Constant::new(values.elem, &[1], Values::Int(vec![spec.int("default_int64", -1)]))?,
    };
    let finds = |key: f32, v: f32| key == v || (spec.opset >= 4 && key.is_nan() && v.is_nan());
    let place: Vec<Option<usize>> = match (&x.values, &keys.values) {
        (Values::Float(v), Values::Float(keys)) => {
            v.iter().map(|&v| keys.iter().position(|&key| finds(key, v))).collect()
        }
        (Values::Int(v), Values::Int(keys)) => v.iter().map(|v| keys.iter().position(|key| key == v)).collect(),
        _ => return Err(format!("keys of type {:?} for a value of type {:?}", keys.elem, x.elem)),
    };
    let all = super::shape::chain(&[&values, &super::shape::reshaped(&default, vec![1])?])?;
    let positions: Vec<usize> = place.into_iter().map(|place| place.unwrap_or(values.len())).collect();
    Ok(vec![super::shape::pick(&all, &x.dims, &positions)?])
}

/// A category that is not there gives zeros, or, with `zeros` 0, an error.
fn one_hot(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let categories = spec.ints("cats_int64s").filter(|list| !list.is_empty()).ok_or_else(strings)?;
    let ints: Vec<i64> = match &x.values {
        Values::Float(v) => v.iter().map(|&v| saturate(Elem::I64, f64::from(v))).collect(),
        _ => x.ints()?.to_vec(),
    };
    if spec.int("zeros", 1) == 0
        && let Some(unknown) = ints.iter().find(|v| !categories.contains(v))
    {
        return Err(format!("the category {unknown} is unknown"));
    }
    let marks = ints.iter().flat_map(|v| {
        let place = categories.iter().rposition(|category| category == v);
        (0..categories.len()).map(move |c| if place == Some(c) { 1.0 } else { 0.0 })
    });
    let dims = [&x.dims[..], &[categories.len()]].concat();
    Ok(vec![Constant::new(Elem::F32, &dims, Values::Float(marks.collect()))?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NodeBuilder, f32s, i64s, node};

    fn ml(op: &str) -> NodeBuilder {
        node(op).domain("ai.onnx.ml").opset(2)
    }

    #[test]
    fn labels_are_looked_up() {
        let encoder = ml("LabelEncoder").ints("keys_int64s", &[3, 5]).floats("values_floats", &[0.5, 1.5]);
        let y = encoder.float("default_float", 9.0).run1(&[&i64s(&[1, 3], &[5, 4, 3])]);
        assert_eq!(y, f32s(&[1, 3], &[1.5, 9.0, 0.5]));
        let nan = ml("LabelEncoder").floats("keys_floats", &[f32::NAN, 2.0]).ints("values_int64s", &[7, 8]);
        let x = f32s(&[3], &[2.0, f32::NAN, 1.0]);
        assert_eq!(nan.clone().run1(&[&x]), i64s(&[3], &[8, -1, -1]));
        assert_eq!(nan.opset(4).run1(&[&x]), i64s(&[3], &[8, 7, -1]));
        let twice = ml("LabelEncoder").ints("keys_int64s", &[1, 1]).floats("values_floats", &[0.5, 1.5]);
        assert_eq!(twice.run1(&[&i64s(&[1], &[1])]), f32s(&[1], &[0.5]));
        let text = ml("LabelEncoder").strings("keys_strings", &["a"]).ints("values_int64s", &[1]);
        assert!(text.run(&[Some(&i64s(&[1], &[0]))]).unwrap_err().contains("strings"));
    }

    #[test]
    fn categories_are_marked() {
        let encoder = ml("OneHotEncoder").ints("cats_int64s", &[1, 4]);
        assert_eq!(encoder.run1(&[&i64s(&[3], &[4, 1, 2])]), f32s(&[3, 2], &[0.0, 1.0, 1.0, 0.0, 0.0, 0.0]));
        assert_eq!(encoder.run1(&[&f32s(&[1, 1], &[4.0])]), f32s(&[1, 1, 2], &[0.0, 1.0]));
        assert!(encoder.int("zeros", 0).run(&[Some(&i64s(&[1], &[2]))]).is_err());
    }
}
