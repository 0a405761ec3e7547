//! Features against the model's inputs: which fills which, and whether its values are what the input takes.

use super::Lowered;
use super::check::InputHints;
use crate::engine::plan::{DType, Plan, Port, Rows};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{Encode, Encoder, Feature, Kind, Part, PerRow, Schema, Transform};

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::SpecInvalid, what)
}

fn mismatch(what: String) -> Error {
    Error::new(ErrorKind::SchemaMismatch, what)
}

fn shape(port: &Port) -> String {
    let dims: Vec<_> = port.dims.iter().map(|&d| if d < 0 { "N".to_owned() } else { d.to_string() }).collect();
    format!("[{}]", dims.join(", "))
}

/// The part of the features that fills each port of the plan, in the plan's order. `input` is what the specification
/// says of a model with one.
///
/// # Errors
/// `spec_invalid` or `schema_mismatch` names the input and the mend.
pub(super) fn parts<'a>(plan: &Plan, encoder: &'a Encoder, input: Option<&str>) -> Result<Vec<&'a Part>> {
    let names: Vec<&str> = plan.inputs.iter().map(|port| port.name.as_str()).collect();
    let there = names.join(", ");
    let parts = encoder.parts();
    if let [part] = parts
        && part.name.is_empty()
    {
        if input.is_some_and(|name| !names.contains(&name)) {
            return Err(invalid(format!("model.input: the model's inputs are {there}")));
        }
        if names.len() != 1 {
            return Err(invalid(format!(
                "the model takes several inputs: {there}; name each in [[inputs]], and the one that it fills as the \
                 `input` of each feature"
            )));
        }
        check(plan, &plan.inputs[0], part)?;
        return Ok(vec![part]);
    }
    if input.is_some() {
        return Err(invalid("model.input goes with one input; with [[inputs]] each feature names its own".to_owned()));
    }
    if let Some(part) = parts.iter().find(|part| !names.contains(&part.name.as_str())) {
        return Err(invalid(format!("input `{}`: the model has none of that name, but {there}", part.name)));
    }
    let of = |port: &Port| {
        let part = parts.iter().find(|part| part.name == port.name).ok_or_else(|| {
            invalid(format!("input `{}` of the model is filled by no feature; name it in [[inputs]]", port.name))
        })?;
        check(plan, port, part)?;
        Ok(part)
    };
    plan.inputs.iter().map(of).collect()
}

/// Whether an input's rows and columns are as many as its features fill.
fn check(plan: &Plan, port: &Port, part: &Part) -> Result<()> {
    let value = plan.values[port.value as usize];
    let named = format!("input `{}` {}", port.name, shape(port));
    match (part.rows, value.rows) {
        (PerRow::Request, Rows::Candidate) => {
            return Err(mismatch(format!(
                "{named} takes a row for each candidate, its features are the request's: write `rows = \"candidate\"` \
                 in its [[inputs]], or export it with a first dimension of 1"
            )));
        }
        (PerRow::Candidate, Rows::Shared) => {
            return Err(mismatch(format!(
                "{named} takes one row for the whole request, its features have one for each candidate: leave those of \
                 the candidate out, or export it with a symbolic first dimension"
            )));
        }
        _ => {}
    }
    if part.width != value.width as usize {
        return Err(mismatch(format!(
            "[[features]] fill {} columns of {named}, which takes {}",
            part.width, value.width
        )));
    }
    if let Some(length) = part.length
        && port.dims.get(1) != Some(&(length as i64))
    {
        let message = format!("{named} has no axis of {length} positions behind its rows, as its `length` says");
        return Err(mismatch(message));
    }
    Ok(())
}

/// Least and largest number that the categories of a feature become; None where its numbers have no bounds of their own.
fn range(f: &Feature) -> Option<[f64; 2]> {
    let more = f.missing.into_iter().chain((f.kind == Kind::Sequence).then(|| f.padding.unwrap_or(0.0)));
    let own = match (f.encode, f.transforms.last()) {
        (Encode::Index, _) if f.categories() > 0 => {
            let offset = f64::from(f.offset.unwrap_or(0));
            let unknown = (!f.vocabulary.is_empty()).then(|| f.unknown.unwrap_or(-1.0));
            let places = [offset, offset + f.categories() as f64 - 1.0];
            return Some(bounds(places.into_iter().chain(unknown).chain(more)));
        }
        (Encode::Counts, _) => [0.0, f64::from(f.length.unwrap_or(Feature::LIST))],
        (Encode::Index, Some(Transform::IsMissing)) => [0.0, 1.0],
        (Encode::Index, Some(Transform::Bucketise { edges })) => [0.0, edges.len() as f64],
        (Encode::Index, Some(Transform::Clip { low, high })) => [*low, *high],
        (Encode::Index, None) if f.kind == Kind::Boolean => [0.0, 1.0],
        (Encode::Index, _) => return None,
        _ => [0.0, 1.0],
    };
    Some(bounds(own.into_iter().chain(more)))
}

fn bounds(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| {
        [if x < low { x } else { low }, if x > high { x } else { high }]
    })
}

/// Whether a feature may be missing and nothing stands for that.
fn may_be_missing(f: &Feature) -> bool {
    let never = f.encode != Encode::Index || f.transforms.contains(&Transform::IsMissing);
    f.missing.is_none() && !never
}

/// Whole inputs take whole numbers, and look-ups indices of their axis.
///
/// # Errors
/// `schema_mismatch` names feature, input and mend.
pub(super) fn check_values(lowered: &Lowered, schema: &Schema, encoder: &Encoder, parts: &[&Part]) -> Result<()> {
    for (f, (rows, columns)) in schema.features.iter().zip(encoder.columns()) {
        let Some(&first) = columns.first() else { continue };
        let holds = |part: &&Part| part.rows == rows && (part.first..part.first + part.width).contains(&first);
        let Some(at) = parts.iter().position(holds) else { continue };
        let port = &lowered.plan.inputs[at];
        let named = format!("feature `{}`, input `{}`", f.name, port.name);
        let (range, dtype) = (range(f), lowered.plan.values[port.value as usize].dtype);
        if dtype != DType::F32 {
            if may_be_missing(f) {
                let message =
                    format!("{named}: whole numbers have no NaN; say with `missing` what stands for a missing value");
                return Err(mismatch(message));
            }
            let wide = |[low, high]: [f64; 2]| low < -16_777_216.0 || high > 16_777_216.0;
            let fractions = f.encode == Encode::Mean || range.is_none_or(wide);
            if fractions {
                return Err(mismatch(format!(
                    "{named} takes whole numbers up to 2^24: give categories, a bucketise or a clip as the last transform, \
                     or export the input as float"
                )));
            }
        }
        for column in &columns {
            let Some(indices) = lowered.domains.get(&(at, column - parts[at].first)) else { continue };
            let [_, most] = bounds(indices.iter().map(|&i| f64::from(i)));
            let outside = range.is_none_or(|[low, high]| low < 0.0 || high > most);
            // What is one of a few known values rather than an index is the author's to choose.
            if outside && is_axis(indices) {
                let [low, high] = range.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
                return Err(mismatch(format!(
                    "{named} is looked up in 0 to {most}, the feature gives {low} to {high}: see to `unknown`, `offset`, \
                     `missing`, `padding` and the number of categories"
                )));
            }
        }
    }
    Ok(())
}

/// Whether a column's known values are the indices of an axis, from either end.
fn is_axis(indices: &[f32]) -> bool {
    let [low, high] = bounds(indices.iter().map(|&i| f64::from(i)));
    low == -high - 1.0
}

/// Values that each column of each input can really take, in the plan's order, for the generated inputs.
pub(super) fn hints(schema: &Schema, encoder: &Encoder, parts: &[&Part]) -> InputHints {
    let mut columns = Vec::new();
    for part in parts {
        let mut own = vec![Vec::new(); part.width];
        for (f, (rows, at)) in schema.features.iter().zip(encoder.columns()) {
            for column in at.iter().filter(|_| rows == part.rows).filter_map(|c| c.checked_sub(part.first)) {
                if let Some(values) = own.get_mut(column) {
                    *values = taken(f);
                }
            }
        }
        columns.append(&mut own);
    }
    InputHints { columns }
}

fn taken(f: &Feature) -> Vec<f32> {
    let whole = |n: usize| (0..n.min(64)).map(|i| i as f32).collect::<Vec<_>>();
    let mut values = match (f.encode, f.transforms.last()) {
        (Encode::Index, _) if f.categories() > 0 => {
            let offset = f.offset.unwrap_or(0) as f32;
            let mut places: Vec<f32> = whole(f.categories() as usize).iter().map(|i| i + offset).collect();
            if !f.vocabulary.is_empty() {
                places.push(f.unknown.unwrap_or(-1.0) as f32);
            }
            places
        }
        (Encode::Index, Some(Transform::IsMissing)) => vec![0.0, 1.0],
        (Encode::Index, Some(Transform::Bucketise { edges })) => whole(edges.len() + 1),
        (Encode::Index, Some(Transform::Clip { low, high })) => vec![*low as f32, *high as f32],
        (Encode::Index, Some(Transform::Quantile { .. })) => vec![0.0, 0.5, 1.0],
        (Encode::Index, _) if f.kind == Kind::Boolean => vec![0.0, 1.0],
        (Encode::Index, _) => return Vec::new(),
        (Encode::Counts, _) => vec![0.0, 1.0, 2.0],
        (Encode::Mean, _) => vec![0.0, 0.25, 0.5, 1.0],
        _ => vec![0.0, 1.0],
    };
    values.extend(f.missing.map(|x| x as f32));
    values.extend((f.kind == Kind::Sequence).then(|| f.padding.unwrap_or(0.0) as f32));
    values
}
