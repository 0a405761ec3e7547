//! Scores alone: a bundle's plan behind its self-test. The ranker builds on it; a build for those who want scores and
//! no ranking ends here.

use crate::bundle::{self, Bundle, Hashes};
use crate::engine::{Buffer, Data, Interpreter, NUMERICS, Plan, Tensor, Tensors, slice};
use crate::error::{Error, ErrorKind, Result, detail};
use crate::json::read_struct;
use ranklet_kernels::math::f64 as math;
use serde::Serialize;

/// Inputs of the plan with its outputs for them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Golden {
    /// Rows.
    pub rows: usize,
    /// A tensor for each input of the plan.
    pub inputs: Vec<String>,
    /// A tensor for each output.
    pub outputs: Vec<String>,
    /// Largest |difference| / max(1, |expected|) on a device whose arithmetic has another number.
    pub tolerance: f64,
}

/// What a scorer reads of the manifest; the sections of a ranker are not looked at.
struct Sections {
    name: String,
    version: u64,
    numerics: u32,
    plan: Plan,
    golden: Golden,
}

read_struct!(Golden { rows, inputs, outputs, tolerance });
read_struct!(Sections { name, version, numerics, plan, golden });

/// An opened bundle that scores: immutable but for its working memory.
#[derive(Debug)]
pub struct Scorer {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: u64,
    /// Number of the arithmetic that the goldens were made with.
    pub numerics: u32,
    /// SHA-256 of the file, hex.
    pub digest: String,
    /// Length of the bundle, bytes.
    pub size: usize,
    /// Rows of the self-test.
    pub self_test_rows: usize,
    /// Scores by the model's own input and output names.
    pub engine: Interpreter,
}

impl Scorer {
    /// Opens a bundle, whether it also ranks or not.
    ///
    /// # Errors
    /// `bundle_corrupt`, `bundle_incompatible`, `limit_exceeded`, `self_test_failed`.
    pub fn open(bytes: &[u8]) -> Result<Scorer> {
        Self::open_hashed(bundle::owned(bytes)?, None)
    }

    /// The same with hashes of these very bytes, if the caller has them. They are given away, as weights are used where they
    /// lie: a page touches no second copy of them (2.7 us for each fresh 4 KB, seen on 2026-11-24).
    ///
    /// # Errors
    /// As those of `open`.
    pub fn open_hashed(bytes: Box<[u8]>, hashes: Option<&Hashes>) -> Result<Scorer> {
        let bundle = Bundle::read_hashed(bytes, hashes)?;
        let Sections { name, version, numerics, plan, golden } = bundle.manifest()?;
        let mut engine = Interpreter::new(plan, &bundle.tensors)?;
        self_test(&mut engine, &golden, numerics, &bundle.tensors)?;
        let Bundle { digest, size, .. } = bundle;
        Ok(Scorer { name, version, numerics, digest, size, self_test_rows: golden.rows, engine })
    }
}

/// Runs the goldens through the plan: bit-equal under this runtime's arithmetic, within the tolerance otherwise.
///
/// # Errors
/// `self_test_failed`; `bundle_corrupt` where the goldens test nothing or fit nothing.
#[inline(never)]
pub(crate) fn self_test(engine: &mut Interpreter, golden: &Golden, numerics: u32, tensors: &Tensors) -> Result<()> {
    let Golden { rows, inputs, outputs, tolerance } = golden;
    // Without goldens, or with a tolerance that forgives all, a device that computes wrongly would not be seen.
    if *rows == 0 || !(0.0..=1e-3).contains(tolerance) {
        return Err(corrupt(detail("it has no self-test")));
    }
    let given = inputs.iter().map(|name| find(tensors, name)).collect::<Result<Vec<_>>>()?;
    let slices = given.iter().map(|t| slice(t)).collect::<Option<Vec<_>>>();
    let slices = slices.ok_or_else(|| corrupt(detail("a golden input has a dtype that no plan takes")))?;
    let got = engine.run_all(&slices, *rows).map_err(|_| corrupt(detail("the goldens do not fit the plan")))?;
    if outputs.len() != got.len() {
        return Err(corrupt(detail("the goldens do not name every output")));
    }
    for (i, (name, got)) in outputs.iter().zip(&got).enumerate() {
        if !same(find(tensors, name)?, got, numerics == NUMERICS, *tolerance) {
            return Err(failed(&format!("output {}", engine.plan().outputs[i].name)));
        }
    }
    Ok(())
}

pub(crate) fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::BundleCorrupt, format!("the bundle's manifest is not consistent: {what}; compile it again"))
}

pub(crate) fn failed(what: &str) -> Error {
    let message = format!("this device computes {what} differently than at compile; it stays on server order");
    Error::new(ErrorKind::SelfTestFailed, message)
}

/// A golden tensor.
pub(crate) fn find<'a>(tensors: &'a Tensors, name: &str) -> Result<&'a Tensor> {
    tensors.get(name).ok_or_else(|| corrupt(detail("a golden tensor is missing")))
}

/// Whether a value is the stored one: to the bit where `exact`, else within `tolerance` x max(1, |expected|).
pub(crate) fn near(expected: f64, got: f64, exact: bool, tolerance: f64) -> bool {
    if expected.is_nan() || got.is_nan() {
        return expected.is_nan() && got.is_nan();
    }
    if exact || expected.is_infinite() || got.is_infinite() {
        return expected.to_bits() == got.to_bits();
    }
    let scale = math::max(1.0, expected.abs());
    (expected - got).abs() <= tolerance * scale
}

fn same(expected: &Tensor, got: &Buffer, exact: bool, tolerance: f64) -> bool {
    match (&expected.data, got) {
        (Data::F32(e), Buffer::F32(g)) => {
            let agree = |(e, g): (&f32, &f32)| near(f64::from(*e), f64::from(*g), exact, tolerance);
            e.len() == g.len() && e.iter().zip(g).all(agree)
        }
        // A label may differ where two scores tie within the tolerance.
        (Data::I64(e), Buffer::I64(g)) => e.len() == g.len() && (!exact || e == g),
        (Data::I32(e), Buffer::I32(g)) => e[..] == g[..],
        (Data::U8(e), Buffer::Bool(g)) => e == g,
        _ => false,
    }
}
