//! Raw heads of a list: computed once, and afterwards only as far as a bit of the features changed.

use super::decide::keep_vectors;
use super::list::List;
use super::open::{Ranker, ReadyHead};
use super::session::Session;
use crate::engine::{Buffer, DType, Interpreter, Prepared, Slice};
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
    feeds.iter().zip(given).for_each(|(feed, to)| gather_one(feed, matrix, rows, to));
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
        // With other inputs of the candidates alone, what follows from these is worth keeping.
        let keeps = self.feeds.iter().any(|feed| feed.shared) && self.feeds.iter().any(|feed| !feed.shared);
        if !scored.rows.is_empty() {
            if keeps && *shared_changed { self.run_kept(scored) } else { self.run_rows(scored) }
                .map_err(|e| e.kind())?;
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

    /// Runs the rows in `scored.rows` from the beginning.
    #[inline(never)]
    fn run_rows(&mut self, scored: &mut Scored) -> Result<()> {
        let Scored { matrix, raw, vectors, rows, given, .. } = scored;
        gather(&self.feeds, matrix, rows, given);
        let slices: Vec<Slice<'_>> = given.iter().map(Buffer::slice).collect();
        let Ranker { engine, heads, vector, .. } = self;
        let widths = widths(engine);
        engine.run(&slices, rows.len(), |output, first, data| {
            if *vector == Some(output) {
                keep_vectors(vectors, widths[output], &rows[first..], data.f32());
            }
            scatter(heads, output, widths[output], &rows[first..], data, raw);
        })
    }

    /// Runs all rows, but of what follows from the candidates' own inputs only what changed.
    #[inline(never)]
    fn run_kept(&mut self, scored: &mut Scored) -> Result<()> {
        let Ranker { engine, heads, feeds, vector, .. } = self;
        let Scored { matrix, raw, vectors, kept, stale, rows, given, .. } = scored;
        let old: Vec<usize> = (0..rows.len()).filter(|&row| stale[row]).collect();
        let usable = |kept: &Prepared| kept.rows() == Some(rows.len()) && (old.is_empty() || !engine.is_list_wise());
        let mut prepared = match kept.take().filter(usable) {
            Some(mut prepared) => {
                gather(feeds, matrix, &old, given);
                if !old.is_empty() {
                    engine.refresh(&mut prepared, &of(feeds, given, false), &old)?;
                }
                prepared
            }
            None => {
                gather(feeds, matrix, rows, given);
                let own = feeds.iter().zip(&*given).map(|(feed, given)| (!feed.shared).then(|| given.slice()));
                let Ok(prepared) = engine.prepare(&own.collect::<Vec<_>>(), Some(rows.len())) else {
                    // Too much to keep.
                    return self.run_rows(scored);
                };
                prepared
            }
        };
        stale[..rows.len()].fill(false);
        let widths = widths(engine);
        engine.run_prepared(&mut prepared, &of(feeds, given, true), rows.len(), |output, first, data| {
            if *vector == Some(output) {
                keep_vectors(vectors, widths[output], &rows[first..], data.f32());
            }
            scatter(heads, output, widths[output], &rows[first..], data, raw);
        })?;
        *kept = Some(prepared);
        Ok(())
    }
}

/// Inputs of the request, or of the candidates, in the plan's order.
fn of<'a>(feeds: &[Feed], given: &'a [Buffer], shared: bool) -> Vec<Slice<'a>> {
    feeds.iter().zip(given).filter(|(feed, _)| feed.shared == shared).map(|(_, given)| given.slice()).collect()
}

fn widths(engine: &Interpreter) -> Vec<usize> {
    (0..engine.plan().outputs.len()).map(|i| engine.output(i).width as usize).collect()
}

/// Takes the heads' columns out of a block of an output; `rows` are its candidates.
fn scatter(heads: &[ReadyHead], output: usize, width: usize, rows: &[usize], data: Slice<'_>, raw: &mut [f32]) {
    for (h, head) in heads.iter().enumerate().filter(|(_, head)| head.output == output) {
        for (row, values) in rows.iter().zip(data.f32().chunks_exact(width.max(1))) {
            raw[row * heads.len() + h] = values[head.column];
        }
    }
}
