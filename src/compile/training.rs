//! What the model was trained with: the digest of its schema, and statistics of each feature.

use super::graph;
use super::spec::Spec;
use crate::bundle::{read_metadata, read_tensors};
use crate::engine::{Data, Tensor, Tensors};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{Encode, Encoder, Feature, Kind, Part, PerRow};
use crate::ranker::{POINTS, STATISTICS, Training};

/// Key of a training file's, a golden file's or an ONNX model's metadata: the digest of the schema behind it.
pub const SCHEMA_KEY: &str = "ranklet.schema";
/// Categories of a feature whose shares are stored, at most.
const CATEGORIES: u64 = 1024;

/// Whether everything that names a schema names this one.
///
/// # Errors
/// `schema_mismatch` names both digests and where the other one stands.
pub(super) fn check_digest(
    spec: &Spec,
    digest: &str,
    onnx: &[u8],
    golden: Option<&[u8]>,
    training: Option<&[u8]>,
) -> Result<()> {
    let of = |file: Option<&[u8]>| file.and_then(|bytes| read_metadata(bytes, SCHEMA_KEY).ok().flatten());
    let named = [
        ("model.trained_with", spec.model.trained_with.clone()),
        ("the metadata of the ONNX model", graph::metadata(onnx, SCHEMA_KEY)),
        ("the metadata of model.golden", of(golden)),
        ("the metadata of model.training", of(training)),
    ];
    match named.into_iter().find_map(|(place, other)| Some((place, other.filter(|other| other != digest)?))) {
        None => Ok(()),
        Some((place, other)) => Err(Error::new(
            ErrorKind::SchemaMismatch,
            format!(
                "the specification's schema is {digest}, the model was trained with {other} ({place}): train on what \
                 `ranklet featurize` gives for this specification, or restore the features that it was trained with"
            ),
        )),
    }
}

/// Statistics of each feature over the rows of a training file, and the tensors that hold them.
///
/// # Errors
/// `spec_invalid` names the tensor that is missing or of another width.
pub(super) fn statistics(bytes: &[u8], spec: &Spec, encoder: &Encoder) -> Result<(Training, Tensors)> {
    let given = read_tensors(bytes).map_err(|e| e.at("model.training"))?;
    let mut training =
        Training { features: "training.features".into(), shares: "training.shares".into(), ..Training::default() };
    let (mut rows, mut shares) = (Vec::new(), Vec::new());
    for (f, (per, columns)) in spec.features.features.iter().zip(encoder.columns()) {
        let holds = |part: &&Part| {
            part.rows == per && columns.first().is_some_and(|c| (part.first..part.first + part.width).contains(c))
        };
        let Some(part) = encoder.parts().iter().find(holds) else { continue };
        let (cells, count) = matrix(&given, part, spec.model.input.as_deref())?;
        let total = if per == PerRow::Request { &mut training.requests } else { &mut training.rows };
        *total = count;
        let own: Vec<usize> = columns.iter().map(|c| c - part.first).collect();
        let values = || cells.chunks_exact(part.width).flat_map(|row| own.iter().map(|&c| row[c]));
        rows.extend(numbers(values().collect()));
        shares.extend(category_shares(f, &own, cells, part.width));
    }
    let features = spec.features.features.len();
    let tensors = Tensors::from([
        (training.features.clone(), Tensor::f32(&[features, STATISTICS], rows)),
        (training.shares.clone(), Tensor::f32(&[shares.len()], shares)),
    ]);
    Ok((training, tensors))
}

/// The rows of an input in a training file, and how many there are.
fn matrix<'a>(given: &'a Tensors, part: &Part, input: Option<&str>) -> Result<(&'a [f32], usize)> {
    let name = if part.name.is_empty() { input.unwrap_or("X") } else { &part.name };
    let wrong = |what: &str| {
        let message = format!(
            "model.training: {what} `{name}` [rows, {}] of f32; take what `ranklet featurize` wrote",
            part.width
        );
        Error::new(ErrorKind::SpecInvalid, message)
    };
    let tensor = given.get(name).ok_or_else(|| wrong("it holds no"))?;
    match &tensor.data {
        Data::F32(v) if part.width > 0 && tensor.dims.iter().skip(1).product::<usize>() == part.width => {
            Ok((v, v.len() / part.width))
        }
        _ => Err(wrong("another shape or type than")),
    }
}

/// Share of missing ones, mean, standard deviation, and the values at even ranks from the least to the greatest.
fn numbers(mut values: Vec<f32>) -> [f32; STATISTICS] {
    let all = values.len();
    values.retain(|x| !x.is_nan());
    values.sort_by(f32::total_cmp);
    let n = values.len();
    let mut row = [f32::NAN; STATISTICS];
    row[0] = if all == 0 { f32::NAN } else { (all - n) as f32 / all as f32 };
    if n > 0 {
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
        let squares = values.iter().map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum::<f64>();
        row[1] = mean as f32;
        row[2] = libm::sqrt(squares / n as f64) as f32;
        for (i, point) in row[STATISTICS - POINTS..].iter_mut().enumerate() {
            *point = values[i * (n - 1) / (POINTS - 1)];
        }
    }
    row
}

/// For a feature of few categories, the share of rows (for a list, the mean) that each has.
fn category_shares(f: &Feature, own: &[usize], cells: &[f32], width: usize) -> Vec<f32> {
    if !(1..=CATEGORIES).contains(&f.categories()) || f.kind == Kind::Sequence {
        return Vec::new();
    }
    let categories = f.categories() as usize;
    let offset = f.offset.unwrap_or(0) as f32;
    let mut shares = vec![0.0_f64; categories];
    let mut rows = 0.0;
    for row in cells.chunks_exact(width) {
        rows += 1.0;
        match f.encode {
            Encode::Index => {
                let place = row[own[0]] - offset;
                if place >= 0.0 && place < categories as f32 {
                    shares[place as usize] += 1.0;
                }
            }
            _ => shares.iter_mut().zip(own).for_each(|(share, &c)| *share += f64::from(row[c])),
        }
    }
    shares.into_iter().map(|share| if rows > 0.0 { (share / rows) as f32 } else { 0.0 }).collect()
}
