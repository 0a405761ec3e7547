//! Opening a bundle: every section is checked, the weights are packed, the self-test is run.

use super::manifest::{Link, Manifest};
use super::privacy::reads_local_only;
use super::record::Digests;
use super::score::Feed;
use crate::bundle::{self, Bundle, Hashes};
use crate::calibration::{Calibrator, logit};
use crate::engine::{DType, Interpreter, NUMERICS, Rows, Tensors};
use crate::error::{Error, ErrorKind, Result, detail};
use crate::features::{Encoder, PerRow};
use crate::policy::{Policy, Scratch};
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

    /// The calibrator for `surface`, if there is one.
    pub fn calibrator(&self, surface: Option<&str>) -> Option<usize> {
        let of = |s: &Option<String>| s.as_deref() == surface && s.is_some();
        let at = self.calibrators.iter().position(|(s, _)| of(s));
        at.or_else(|| self.calibrators.iter().position(|(s, _)| s.is_none()))
    }

    /// The calibrated value of a raw score by the [`calibrator`](Self::calibrator).
    pub fn calibrated(&mut self, raw: f32, calibrator: Option<usize>) -> f64 {
        let score = self.linked(raw);
        match calibrator {
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
    /// What fills each of the plan's inputs, in their order.
    pub(super) feeds: Vec<Feed>,
    pub(super) policy: Policy,
    pub(super) scratch: Scratch,
    /// Output of the plan that similarity is the cosine of.
    pub(super) vector: Option<usize>,
    /// Or these columns of the features.
    pub(super) alike: Vec<usize>,
    /// Of the context's half-lives the longest: its place and its length, ms.
    pub(super) longest: (usize, f64),
    /// Whether no feature row may leave the device.
    pub(super) local_only: bool,
    digests: Digests,
    size: usize,
}

impl Ranker {
    /// Opens a bundle.
    ///
    /// # Errors
    /// `bundle_corrupt`, `bundle_incompatible`, `limit_exceeded`, `schema_mismatch`, `self_test_failed`.
    pub fn open(bytes: &[u8]) -> Result<Ranker> {
        Self::open_hashed(bundle::owned(bytes)?, None)
    }

    /// The same with hashes of these very bytes, if the caller has them. They are given away, as weights are used where they
    /// lie.
    ///
    /// # Errors
    /// As those of `open`.
    pub fn open_hashed(bytes: Box<[u8]>, hashes: Option<&Hashes>) -> Result<Ranker> {
        let bundle = Bundle::read_hashed(bytes, hashes)?;
        let manifest: Manifest = bundle.manifest()?;
        let engine = Interpreter::new(manifest.plan.clone(), &bundle.tensors)?;
        let encoder = Encoder::with_inputs(&manifest.schema, &manifest.inputs, &manifest.context)?;
        check(&manifest, &engine)?;
        let feeds = if manifest.heads.is_empty() { Vec::new() } else { feeds(&manifest, &engine, &encoder)? };
        let heads = heads(&manifest, &bundle.tensors)?;
        let digests = Digests {
            bundle: bundle.digest.clone(),
            schema: manifest.schema_digest.clone(),
            policy: manifest.policy_digest.clone(),
        };
        let names: Vec<&str> = manifest.heads.iter().map(|h| h.name.as_str()).collect();
        let policy = Policy::new(&manifest.policy, &names)?;
        let (vector, alike) = similarity(&manifest, &engine, &encoder)?;
        let mut longest = (0, 0.0);
        for (place, half_life) in manifest.context.half_lives.iter().enumerate() {
            let length = crate::context::parse_duration(half_life)?;
            if length > longest.1 {
                longest = (place, length);
            }
        }
        let mut ranker = Ranker {
            local_only: reads_local_only(&manifest.schema, &manifest.context),
            size: bundle.size,
            scratch: Scratch::default(),
            manifest,
            engine,
            heads,
            encoder,
            feeds,
            policy,
            vector,
            alike,
            longest,
            digests,
        };
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

    /// The policy, checked.
    pub fn policy(&self) -> &Policy {
        &self.policy
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
fn check(manifest: &Manifest, engine: &Interpreter) -> Result<()> {
    for head in &manifest.heads {
        if head.output >= manifest.plan.outputs.len() {
            return Err(corrupt(detail("a head names no output")));
        }
        let value = engine.output(head.output);
        if value.dtype != DType::F32 || head.column >= value.width as usize {
            return Err(corrupt(detail("a head's column is not an f32 of its output")));
        }
        if value.rows != Rows::Candidate {
            return Err(corrupt(detail("a head's output has one row for the whole request")));
        }
    }
    Ok(())
}

/// Which columns of the features each input of the plan takes.
#[inline(never)]
fn feeds(manifest: &Manifest, engine: &Interpreter, encoder: &Encoder) -> Result<Vec<Feed>> {
    let parts = encoder.parts();
    if parts.len() != manifest.plan.inputs.len() || manifest.input != manifest.inputs.is_empty().then_some(0) {
        return Err(corrupt(detail("the schema does not fill each of the plan's inputs")));
    }
    let mut feeds = Vec::with_capacity(parts.len());
    for (i, port) in manifest.plan.inputs.iter().enumerate() {
        let value = engine.input(i);
        // One without a name is the one of a model that has one.
        let part = parts.iter().find(|part| part.name == port.name || part.name.is_empty());
        let Some(part) = part.filter(|part| (part.rows == PerRow::Request) == (value.rows == Rows::Shared)) else {
            return Err(corrupt(detail("no features fill an input of the plan")));
        };
        if part.width != value.width as usize {
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                format!("the schema fills {} columns, the model takes {}", part.width, value.width),
            ));
        }
        let shared = part.rows == PerRow::Request;
        feeds.push(Feed { shared, first: part.first, width: part.width, dtype: value.dtype });
    }
    Ok(feeds)
}

/// Where the vectors of the policy's similarity come from: an output of the plan, or columns of the features.
#[inline(never)]
fn similarity(manifest: &Manifest, engine: &Interpreter, encoder: &Encoder) -> Result<(Option<usize>, Vec<usize>)> {
    let Some(diversity) = &manifest.policy.diversity else { return Ok((None, Vec::new())) };
    let wrong = || corrupt(detail("similarity names no feature, or no f32 output with a row for each candidate"));
    let mut columns = Vec::new();
    for name in &diversity.similarity.features {
        let at = manifest.schema.features.iter().position(|feature| feature.name == *name).ok_or_else(wrong)?;
        match encoder.columns().swap_remove(at) {
            (PerRow::Candidate, own) => columns.extend(own),
            (PerRow::Request, _) => return Err(wrong()),
        }
    }
    let output = diversity.similarity.output.as_ref().map(|name| {
        let output = manifest.plan.outputs.iter().position(|port| port.name == *name);
        let fits = |&output: &usize| {
            let value = engine.output(output);
            value.dtype == DType::F32 && value.rows == crate::engine::Rows::Candidate
        };
        output.filter(fits).ok_or_else(wrong)
    });
    Ok((output.transpose()?, columns))
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
