//! Raw heads of a list: computed once, and afterwards only as far as a bit of the features changed.

use super::decide::keep_vectors;
use super::list::List;
use super::open::Ranker;
use super::session::Session;
use crate::engine::{Buffer, DType, Prepared, Slice};
use crate::error::{ErrorKind, Result};
use crate::features::{Matrix, Scene};

/// Which columns of the features an input of the plan takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feed {
    /// Of the request's one row instead of each candidate's.
    pub shared: bool,
    pub first: usize,
    pub width: usize,
    /// What they become: features are f32, of which whole numbers are taken towards zero, NaN as 0.
    pub dtype: DType,
}

/// What is kept of a list between re-ranks.
#[derive(Debug, Default)]
pub(super) struct Scored {
    /// As the model saw them last.
    pub matrix: Matrix,
    /// Whether features of the request alone are filled in.
    pub encoded: bool,
    /// `[candidates, heads]`, as the model gave them.
    raw: Vec<f32>,
    /// `[candidates, width]`: the output that similarity is the cosine of, where the bundle names one.
    pub vectors: Vec<f32>,
    /// Candidates that the last run was for.
    ran: usize,
    /// What depends on the candidates' own inputs alone, where the plan has others beside them.
    kept: Option<Prepared>,
    /// By candidate, whether its features changed since `kept` was computed.
    stale: Vec<bool>,
    /// Working memory: rows to run, and each input's elements of them.
    rows: Vec<usize>,
    given: Vec<Buffer>,
    outputs: Vec<Buffer>,
}

impl Scored {
    /// The raw heads, `[candidates, heads]`; NaN where a row was never scored.
    pub fn raw(&self) -> &[f32] {
        &self.raw
    }
}

/// Elements of each input for these candidates.
fn gather(feeds: &[Feed], matrix: &Matrix, rows: &[usize], given: &mut Vec<Buffer>) {
    if given.is_empty() {
        given.extend(feeds.iter().map(|feed| Buffer::zeros(feed.dtype, 0)));
    }
    for (feed, to) in feeds.iter().zip(given) {
        gather_one(feed, matrix, rows, to);
    }
}

#[inline(never)]
fn gather_one(feed: &Feed, matrix: &Matrix, rows: &[usize], to: &mut Buffer) {
    let width = matrix.rows.len() / matrix.changed.len().max(1);
    let each = |take: &mut dyn FnMut(&[f32])| match feed.shared {
        true => take(&matrix.shared[feed.first..feed.first + feed.width]),
        false => rows.iter().for_each(|row| take(&matrix.rows[row * width + feed.first..][..feed.width])),
    };
    match to {
        Buffer::F32(to) => {
            to.clear();
            each(&mut |cells| to.extend_from_slice(cells));
        }
        Buffer::I32(to) => {
            to.clear();
            each(&mut |cells| to.extend(cells.iter().map(|&x| x as i32)));
        }
        Buffer::I64(to) => {
            to.clear();
            each(&mut |cells| to.extend(cells.iter().map(|&x| x as i64)));
        }
        Buffer::Bool(to) => {
            to.clear();
            each(&mut |cells| to.extend(cells.iter().map(|&x| u8::from(x != 0.0 && !x.is_nan()))));
        }
    }
}

impl Ranker {
    /// Brings features and, of the first `limit` rows, raw heads up to date; returns the number of rows that were run.
    pub(super) fn score(
        &mut self,
        session: &Session,
        list: &mut List,
        now: f64,
        limit: usize,
    ) -> Result<usize, ErrorKind> {
        let n = list.table.len();
        let surface = list.identity.surface.as_deref();
        let scene = Scene { table: &list.table, surface, context: session.context(), now };
        let scored = &mut list.scored;
        self.encoder.encode(&scene, scored.encoded, &mut scored.matrix);
        scored.encoded = true;
        scored.raw.resize(n * self.heads.len(), f32::NAN);
        scored.stale.resize(n, true);
        let Matrix { shared_changed, changed, .. } = &scored.matrix;
        scored.stale.iter_mut().zip(changed).for_each(|(stale, changed)| *stale |= changed);
        let any = limit != scored.ran || changed[..limit].iter().any(|changed| *changed);
        let all = *shared_changed || any && self.engine.is_list_wise();
        scored.ran = limit;
        scored.rows.clear();
        scored.rows.extend((0..limit).filter(|&row| all || scored.matrix.changed[row]));
        // With inputs of the request beside the candidates' own, what follows from these is worth keeping.
        let keeps = *shared_changed && self.feeds.iter().any(|feed| !feed.shared);
        if !scored.rows.is_empty() {
            self.run(scored, keeps).map_err(|e| e.kind())?;
        }
        let run = scored.rows.len();
        scored.matrix.shared_changed = false;
        // What is beyond the limit waits for a larger one.
        let (run_now, later) = scored.matrix.changed.split_at_mut(limit);
        run_now.fill(false);
        if all {
            later.fill(true);
        }
        if scored.raw[..limit * self.heads.len()].iter().any(|x| !x.is_finite()) {
            return Err(ErrorKind::ScoreNotFinite);
        }
        Ok(run)
    }

    /// Runs the rows in `scored.rows`: from the beginning, or, as all of them, from what is kept of the candidates.
    #[inline(never)]
    fn run(&mut self, scored: &mut Scored, keeps: bool) -> Result<()> {
        let Ranker { engine, heads, feeds, vector, .. } = self;
        let Scored { matrix, raw, vectors, kept, stale, rows, given, outputs, .. } = scored;
        let mut prepared = None;
        if keeps {
            let old: Vec<usize> = (0..rows.len()).filter(|&row| stale[row]).collect();
            let usable =
                |kept: &Prepared| kept.rows() == Some(rows.len()) && (old.is_empty() || !engine.is_list_wise());
            prepared = kept.take().filter(usable);
            gather(feeds, matrix, if prepared.is_some() { &old } else { rows }, given);
            match &mut prepared {
                Some(prepared) => engine.refresh(prepared, &of(feeds, given, Some(false)), &old)?,
                // What is too much to keep is run as a whole.
                None => prepared = engine.prepare(&own(feeds, given), Some(rows.len())).ok(),
            }
        } else {
            gather(feeds, matrix, rows, given);
        }
        let inputs = of(feeds, given, prepared.is_some().then_some(true));
        engine.run_into(prepared.as_mut(), &inputs, rows.len(), outputs)?;
        if prepared.is_some() {
            stale[..rows.len()].fill(false);
            *kept = prepared;
        }
        for (h, head) in heads.iter().enumerate() {
            let width = engine.output(head.output).width as usize;
            let values = outputs[head.output].slice().f32();
            for (row, values) in rows.iter().zip(values.chunks_exact(width.max(1))) {
                raw[row * heads.len() + h] = values[head.column];
            }
        }
        if let Some(output) = *vector {
            let width = engine.output(output).width as usize;
            keep_vectors(vectors, width, rows, outputs[output].slice().f32());
        }
        Ok(())
    }
}

/// The raw heads, `[n, heads]`, of feature rows, `[n, width]`, and of what all candidates share: what a record is replayed with.
///
/// # Errors
/// As the engine's; the widths are the caller's to check.
#[cfg(feature = "native")]
pub(super) fn raw_heads(ranker: &mut Ranker, shared: &[f32], rows: &[f32], n: usize) -> Result<Vec<f32>> {
    let matrix = Matrix { shared: shared.to_vec(), rows: rows.to_vec(), changed: vec![true; n], shared_changed: true };
    let raw = vec![f32::NAN; n * ranker.heads.len()];
    let mut scored = Scored { matrix, raw, rows: (0..n).collect(), stale: vec![true; n], ..Scored::default() };
    ranker.run(&mut scored, false)?;
    Ok(scored.raw)
}

/// Inputs in the plan's order: all, or the request's or the candidates' alone.
#[inline(never)]
fn of<'a>(feeds: &[Feed], given: &'a [Buffer], shared: Option<bool>) -> Vec<Slice<'a>> {
    let mut inputs = Vec::with_capacity(feeds.len());
    for (feed, given) in feeds.iter().zip(given) {
        if shared.is_none_or(|shared| shared == feed.shared) {
            inputs.push(given.slice());
        }
    }
    inputs
}

/// The candidates' inputs where the plan takes them.
#[inline(never)]
fn own<'a>(feeds: &[Feed], given: &'a [Buffer]) -> Vec<Option<Slice<'a>>> {
    let mut inputs = Vec::with_capacity(feeds.len());
    for (feed, given) in feeds.iter().zip(given) {
        inputs.push((!feed.shared).then(|| given.slice()));
    }
    inputs
}
