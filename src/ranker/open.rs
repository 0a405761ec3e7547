//! Opening a bundle: every section is checked, the weights are packed, the self-test is run.

use super::manifest::{Link, Manifest};
use super::record::Digests;
use crate::bundle::{Bundle, Hashes};
use crate::calibration::{Calibrator, logit};
use crate::engine::{DType, Interpreter, NUMERICS, Tensors};
use crate::error::{Error, ErrorKind, Result, detail};
use crate::features::Encoder;
use crate::scorer::{self, corrupt, failed, find, near};
use ranklet_kernels::math::f64 as math;

/// A head with its calibrators ready.
#[derive(Debug)]
pub(super) struct ReadyHead {
    pub output: usize,
    pub column: usize,
    link: Link,
    /// By surface; None applies elsewhere.
    calibrators: Vec<(Option<String>, Calibrator)>,
}

impl ReadyHead {
    /// The raw score after its link.
    pub fn linked(&self, raw: f32) -> f32 {
        match self.link {
            Link::Identity => raw,
            Link::Sigmoid => math::sigmoid(f64::from(raw)) as f32,
            Link::Logit if raw.is_nan() => raw,
            Link::Logit => logit(f64::from(raw)) as f32,
        }
    }

    /// The calibrated value of a raw score on `surface`.
    pub fn calibrated(&mut self, raw: f32, surface: Option<&str>) -> f64 {
        let score = self.linked(raw);
        let of = |s: &Option<String>| s.as_deref() == surface && s.is_some();
        let at = self.calibrators.iter().position(|(s, _)| of(s));
        let at = at.or_else(|| self.calibrators.iter().position(|(s, _)| s.is_none()));
        match at {
            Some(i) => self.calibrators[i].1.apply(score),
            None => f64::from(score),
        }
    }
}

/// An opened bundle: immutable but for its working memory.
#[derive(Debug)]
pub struct Ranker {
    manifest: Manifest,
    pub(super) engine: Interpreter,
    pub(super) heads: Vec<ReadyHead>,
    pub(super) encoder: Encoder,
    digests: Digests,
    size: usize,
}

impl Ranker {
    /// Opens a bundle.
    ///
    /// # Errors
    /// `bundle_corrupt`, `bundle_incompatible`, `limit_exceeded`, `schema_mismatch`, `self_test_failed`.
    pub fn open(bytes: &[u8]) -> Result<Ranker> {
        Self::open_hashed(bytes, None)
    }

    /// The same with hashes of these very bytes, if the caller has them.
    ///
    /// # Errors
    /// As those of `open`.
    pub fn open_hashed(bytes: &[u8], hashes: Option<&Hashes>) -> Result<Ranker> {
        let bundle = Bundle::read_hashed(bytes, hashes)?;
        let manifest: Manifest = bundle.manifest()?;
        let engine = Interpreter::new(manifest.plan.clone(), &bundle.tensors)?;
        let encoder = Encoder::new(&manifest.schema, &manifest.context)?;
        check(&manifest, &engine, &encoder)?;
        let heads = heads(&manifest, &bundle.tensors)?;
        let digests = Digests {
            bundle: bundle.digest.clone(),
            schema: manifest.schema_digest.clone(),
            policy: manifest.policy_digest.clone(),
        };
        let mut ranker = Ranker { manifest, engine, heads, encoder, digests, size: bundle.size };
        ranker.self_test(&bundle.tensors)?;
        Ok(ranker)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The encoder of the schema.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Digests of bundle, schema and policy.
    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    /// Length of the bundle, bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether it ranks: a bare scoring bundle does not.
    pub fn ranks(&self) -> bool {
        !self.manifest.heads.is_empty()
    }

    /// The plan alone, for those who want scores: inputs and outputs under the model's own names.
    pub fn scorer(&mut self) -> &mut Interpreter {
        &mut self.engine
    }

    /// Runs the goldens through plan and calibrators.
    #[inline(never)]
    fn self_test(&mut self, tensors: &Tensors) -> Result<()> {
        let Manifest { golden, numerics, .. } = &self.manifest;
        scorer::self_test(&mut self.engine, golden, *numerics, tensors)?;
        let exact = *numerics == NUMERICS;
        for (head, ready) in self.manifest.heads.iter().zip(&mut self.heads) {
            for (stored, (_, calibrator)) in head.calibrators.iter().zip(&mut ready.calibrators) {
                let x = find(tensors, &stored.golden_input)?
                    .as_f32()
                    .ok_or_else(|| corrupt(detail("a calibrator's golden is not f32")))?;
                let y = find(tensors, &stored.golden_output)?
                    .as_f64()
                    .ok_or_else(|| corrupt(detail("a calibrator's golden is not f64")))?;
                let agrees = !x.is_empty()
                    && x.len() == y.len()
                    && x.iter().zip(y).all(|(&x, &y)| near(y, calibrator.apply(x), exact, 1e-9));
                if !agrees {
                    return Err(failed(&format!("the calibrator of head {}", head.name)));
                }
            }
        }
        Ok(())
    }
}

/// What the sections promise each other.
#[inline(never)]
fn check(manifest: &Manifest, engine: &Interpreter, encoder: &Encoder) -> Result<()> {
    for head in &manifest.heads {
        if head.output >= manifest.plan.outputs.len() {
            return Err(corrupt(detail("a head names no output")));
        }
        let value = engine.output(head.output);
        if value.dtype != DType::F32 || head.column >= value.width as usize {
            return Err(corrupt(detail("a head's column is not an f32 of its output")));
        }
        if value.rows != crate::engine::Rows::Candidate {
            return Err(corrupt(detail("a head's output has one row for the whole request")));
        }
    }
    let Some(input) = manifest.input else {
        return if manifest.heads.is_empty() {
            Ok(())
        } else {
            Err(corrupt(detail("heads without an input for the features")))
        };
    };
    if manifest.plan.inputs.len() != 1 || input != 0 {
        return Err(corrupt(detail("the schema fills the plan's one input")));
    }
    let value = engine.input(0);
    if value.dtype != DType::F32 || value.width as usize != encoder.width() {
        return Err(Error::new(
            ErrorKind::SchemaMismatch,
            format!("the schema fills {} columns, the model takes {}", encoder.width(), value.width),
        ));
    }
    if manifest.policy.weights.len() != manifest.heads.len() {
        return Err(corrupt(detail("heads and policy weights differ in number")));
    }
    if manifest
        .policy
        .weights
        .iter()
        .any(|w| !w.default.is_finite() || w.surfaces.iter().any(|s| !s.weight.is_finite()))
    {
        return Err(corrupt(detail("a policy weight is not finite")));
    }
    Ok(())
}

#[inline(never)]
fn heads(manifest: &Manifest, tensors: &Tensors) -> Result<Vec<ReadyHead>> {
    let ready = |head: &super::manifest::Head| {
        let calibrators = head
            .calibrators
            .iter()
            .map(|c| Ok((c.surface.clone(), Calibrator::new(&c.calibrator, tensors)?)))
            .collect::<Result<_>>()?;
        Ok(ReadyHead { output: head.output, column: head.column, link: head.link, calibrators })
    };
    manifest.heads.iter().map(ready).collect()
}
