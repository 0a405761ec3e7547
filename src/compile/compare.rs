//! What "the same" means between a plan and what it is checked against.
//!
//! Sums of leaves: the same number (bit for bit but for the sign of zero). Everything else in
//! f32: |d| <= 1e-5 max(1, |expected|), NaN where NaN is expected, the same infinity. Labels:
//! equal, except where the two best scores lie within that bound of each other.

use super::Lowered;
use crate::engine::plan::{Op, Plan, Port};
use crate::engine::tensor::{Data, Tensor, Tensors};
use crate::error::{Error, ErrorKind, Result};

/// The bound, relative to max(1, |expected|).
const BOUND: f64 = 1e-5;

/// What a comparison saw.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Comparison {
    /// Largest |got - expected| / max(1, |expected|) over all f32 outputs.
    pub largest_difference: f64,
    /// Elements compared.
    pub elements: usize,
    /// Labels that differ where two scores tie within the bound.
    pub tied_labels: usize,
}

/// Compares every output of the plan.
///
/// # Errors
/// `golden_mismatch` names the output, the row, what was expected and what came.
pub fn compare(expected: &Tensors, got: &Tensors, lowered: &Lowered) -> Result<Comparison> {
    let mut seen = Comparison::default();
    for port in &lowered.plan.outputs {
        let of = |tensors: &Tensors, whose: &str| -> Result<Tensor> {
            let tensor = tensors.get(&port.name).cloned();
            tensor.ok_or_else(|| {
                Error::new(ErrorKind::GoldenMismatch, format!("output `{}` is missing from {whose}", port.name))
            })
        };
        let (want, have) = (of(expected, "what is expected")?, of(got, "the plan's outputs")?);
        output(port, &want, &have, expected, &lowered.plan, &mut seen)?;
    }
    Ok(seen)
}

fn mismatch(port: &Port, at: usize, width: usize, want: impl std::fmt::Display, have: impl std::fmt::Display) -> Error {
    let column = if width > 1 { format!(", column {}", at % width) } else { String::new() };
    Error::new(
        ErrorKind::GoldenMismatch,
        format!("output `{}`, row {}{column}: expected {want}, got {have}", port.name, at / width),
    )
}

fn output(
    port: &Port,
    want: &Tensor,
    have: &Tensor,
    expected: &Tensors,
    plan: &Plan,
    seen: &mut Comparison,
) -> Result<()> {
    let width = plan.values[port.value as usize].width.max(1) as usize;
    let (count, counted) = (want.dims.iter().product::<usize>(), have.dims.iter().product::<usize>());
    if count != counted {
        let message = format!("output `{}`: expected the shape {:?}, got {:?}", port.name, want.dims, have.dims);
        return Err(Error::new(ErrorKind::GoldenMismatch, message));
    }
    seen.elements += count;
    if let (Data::F32(want), Data::F32(have)) = (&want.data, &have.data) {
        let exact = sums_of_leaves(plan, port.value);
        for (at, (&w, &h)) in want.iter().zip(have).enumerate() {
            match difference(w, h, exact) {
                Some(d) if d > seen.largest_difference => seen.largest_difference = d,
                Some(_) => {}
                None => return Err(mismatch(port, at, width, w, h)),
            }
        }
        return Ok(());
    }
    let (Some(want), Some(have)) = (whole(want), whole(have)) else {
        return Err(Error::new(
            ErrorKind::GoldenMismatch,
            format!("output `{}`: another type was expected", port.name),
        ));
    };
    let scores = label_scores(plan, port.value)
        .and_then(|(name, width)| expected.get(name).and_then(Tensor::as_f32).map(|s| (s, width)));
    for (at, (w, h)) in want.iter().zip(&have).enumerate() {
        if w == h {
            continue;
        }
        match scores {
            Some((scores, width)) if tie(&scores[at * width..(at + 1) * width]) => seen.tied_labels += 1,
            _ => return Err(mismatch(port, at, 1, w, h)),
        }
    }
    Ok(())
}

/// The relative difference, if it is allowed.
fn difference(want: f32, have: f32, exact: bool) -> Option<f64> {
    if want == have || (want.is_nan() && have.is_nan()) {
        return Some(0.0);
    }
    let scale = f64::from(want.abs());
    let d = (f64::from(want) - f64::from(have)).abs() / if scale > 1.0 { scale } else { 1.0 };
    (!exact && d <= BOUND).then_some(d)
}

/// Whole numbers of any type; f32 holds them too where an exporter gives labels so.
fn whole(tensor: &Tensor) -> Option<Vec<i64>> {
    Some(match &tensor.data {
        Data::I64(v) => v.clone(),
        Data::I32(v) => v.iter().map(|&i| i64::from(i)).collect(),
        Data::U8(v) => v.iter().map(|&i| i64::from(i)).collect(),
        Data::F32(v) => v.iter().map(|&f| f as i64).collect(),
        _ => return None,
    })
}

/// Whether the two largest scores are within the bound.
fn tie(scores: &[f32]) -> bool {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    match sorted[..] {
        [a, b, ..] => {
            let scale = f64::from(a.abs());
            f64::from(a - b) <= 2.0 * BOUND * if scale > 1.0 { scale } else { 1.0 }
        }
        _ => false,
    }
}

/// Whether a value is a sum of leaves and nothing else.
fn sums_of_leaves(plan: &Plan, value: u32) -> bool {
    match plan.steps.iter().find(|step| step.output == value) {
        Some(step) => match step.op {
            Op::Trees(_) => true,
            Op::Select { .. } | Op::Concat => step.inputs.iter().all(|&input| sums_of_leaves(plan, input)),
            _ => false,
        },
        None => false,
    }
}

/// The output of scores that a label was chosen by, and its width.
fn label_scores(plan: &Plan, value: u32) -> Option<(&str, usize)> {
    let step = plan.steps.iter().find(|step| step.output == value)?;
    let Op::Label { labels, .. } = &step.op else {
        return label_scores(plan, *step.inputs.first()?);
    };
    let depends = |from: u32| {
        let mut stack = vec![from];
        while let Some(value) = stack.pop() {
            if value == step.inputs[0] {
                return true;
            }
            stack.extend(plan.steps.iter().filter(|s| s.output == value).flat_map(|s| &s.inputs));
        }
        false
    };
    let port = plan
        .outputs
        .iter()
        .find(|port| plan.values[port.value as usize].width as usize == labels.len() && depends(port.value))?;
    Some((&port.name, labels.len()))
}
