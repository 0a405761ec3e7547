//! One feature: its value is read, encoded, transformed and put into its columns.

use super::categories::Categories;
use super::schema::{Aggregate, Encode, Feature, Kind};
use super::source::{Recent, Source, Sources};
use super::step::{Step, steps};
use super::table::Table;
use crate::context::{Context, EventKind, Signal, Subject};
use crate::error::Result;
use ranklet_kernels::math::f64 as math;

/// Between the texts of a cross: no name holds it.
const BETWEEN: char = '\u{1f}';

/// How a feature's values become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Number,
    Index,
    Hot,
    Counts,
    Mask,
}

/// A feature with everything resolved. Every value is a sequence; all but sequences have one position.
#[derive(Debug, Clone)]
pub(super) struct Filler {
    /// Its first column.
    pub first: usize,
    /// Columns at a position.
    pub step: usize,
    /// Columns from one position to the next.
    pub stride: usize,
    pub positions: usize,
    /// Whether it changes without the request changing.
    pub dynamic: bool,
    /// Whether it is the same for all candidates of a request.
    pub shared: bool,
    /// Whether its columns are the request's one row.
    pub in_shared_row: bool,
    sources: Sources,
    kind: Kind,
    form: Form,
    encode: Encode,
    aggregate: Aggregate,
    categories: Categories,
    steps: Vec<Step>,
    /// Of a list's values, how many are read.
    most: usize,
    padding: f64,
    missing: f64,
}

/// What one row is computed from.
pub(super) struct Row<'a> {
    pub table: &'a Table,
    pub row: usize,
    pub surface: Option<&'a str>,
    pub context: &'a Context,
    /// On the grid of the context's step.
    pub now: f64,
    pub subject: Subject<'a>,
}

/// Writes `x` and tells whether the bits changed; every NaN is the same NaN.
pub(super) fn put(cell: &mut f32, x: f64) -> bool {
    let x = x as f32;
    let x = if x.is_nan() { f32::NAN } else { x };
    let differs = cell.to_bits() != x.to_bits();
    *cell = x;
    differs
}

impl Filler {
    #[inline(never)]
    pub fn new(f: &Feature, s: Sources) -> Result<Filler> {
        let steps = steps(f, &s)?;
        let form = match (f.kind, f.encode) {
            (_, Encode::Mask) => Form::Mask,
            (Kind::List, _) => Form::Counts,
            (_, Encode::OneHot) => Form::Hot,
            _ if f.categories() > 0 => Form::Index,
            _ => Form::Number,
        };
        Ok(Filler {
            first: 0,
            step: f.step_width(),
            stride: f.step_width(),
            positions: f.positions() as usize,
            dynamic: s.is_dynamic() || steps.iter().any(Step::is_dynamic),
            shared: s.is_shared(),
            in_shared_row: false,
            sources: s,
            kind: f.kind,
            form,
            encode: f.encode,
            aggregate: f.aggregate,
            categories: Categories::new(f),
            steps,
            most: f.length.unwrap_or(Feature::LIST) as usize,
            padding: f.padding.unwrap_or(0.0),
            missing: f.missing.unwrap_or(f64::NAN),
        })
    }

    /// Its columns in a row.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        let at = |position: usize| self.first + position * self.stride;
        (0..self.positions).flat_map(move |position| at(position)..at(position) + self.step)
    }

    /// Fills its columns of a row, and tells whether a bit changed.
    pub fn fill(&self, row: &Row<'_>, cells: &mut [f32]) -> bool {
        // A number alone: most features, and all that an event changes.
        if let (Form::Number, Kind::Numeric | Kind::Boolean) = (self.form, self.kind) {
            let x = self.steps.iter().fold(row.number(self.sources.own), |x, step| step.apply(x, row));
            return put(&mut cells[self.first], if x.is_nan() { self.missing } else { x });
        }
        let joined;
        let items = match self.cross(row) {
            Some(text) => {
                joined = text;
                Items::Text(joined.as_deref())
            }
            None => self.items(row),
        };
        let counts = if self.form == Form::Counts { self.counted(&items) } else { Vec::new() };
        let first = items.len().saturating_sub(self.positions);
        let mut changed = false;
        for position in 0..self.positions {
            let i = first + position;
            let there = i < items.len();
            let text = if there { items.text(i) } else { None };
            let hot = text.filter(|_| self.form == Form::Hot).and_then(|text| self.categories.place(text, 0));
            for column in 0..self.step {
                let x = match self.form {
                    Form::Counts => counts[column],
                    Form::Mask => f64::from(u8::from(there && items.holds(i))),
                    _ if !there => self.padding,
                    Form::Hot => f64::from(u8::from(hot == Some(column))),
                    Form::Index => text.map_or(f64::NAN, |text| self.categories.index(text, column)),
                    Form::Number => self.steps.iter().fold(items.number(i, column), |x, step| step.apply(x, row)),
                };
                let x = if x.is_nan() { self.missing } else { x };
                changed |= put(&mut cells[self.first + position * self.stride + column], x);
            }
        }
        changed
    }

    /// The text of a cross, or that it is missing; None where the feature is none.
    fn cross(&self, row: &Row<'_>) -> Option<Option<String>> {
        if self.sources.cross.is_empty() {
            return None;
        }
        let mut text = row.text(self.sources.own)?.to_owned();
        for &source in &self.sources.cross {
            let Some(other) = row.text(source) else { return Some(None) };
            text.push(BETWEEN);
            text.push_str(other);
        }
        Some(Some(text))
    }

    #[inline(never)]
    fn items<'a>(&self, row: &Row<'a>) -> Items<'a> {
        let source = self.sources.own;
        match (self.kind, source, self.sources.vector) {
            (Kind::Related, ..) => Items::Number(row.related(source, self.sources.signal, self.aggregate)),
            (Kind::Categorical, ..) => Items::Text(row.text(source)),
            (Kind::Numeric | Kind::Boolean, ..) => Items::Number(row.number(source)),
            (_, Source::Recent(what), _) => Items::Recent(row.context, what, row.now),
            (Kind::Embedding, _, Some(width)) => match row.numbers(source) {
                Some(numbers) if numbers.len() == width => Items::Numbers(numbers, width),
                _ => Items::Number(f64::NAN),
            },
            (_, _, Some(width)) => Items::Numbers(row.numbers(source).unwrap_or_default(), width),
            _ => Items::Texts(row.texts(source).unwrap_or_default()),
        }
    }

    /// A column a category: whether, how often, or in what share of the list it stands.
    #[inline(never)]
    fn counted(&self, items: &Items<'_>) -> Vec<f64> {
        let mut counts = vec![0.0; self.step];
        let mut read = 0.0;
        for i in 0..items.len().min(self.most) {
            let Some(text) = items.text(i) else { continue };
            read += 1.0;
            if let Some(count) = self.categories.place(text, 0).and_then(|at| counts.get_mut(at)) {
                *count = if self.encode == Encode::MultiHot { 1.0 } else { *count + 1.0 };
            }
        }
        if self.encode == Encode::Mean && read > 0.0 {
            counts.iter_mut().for_each(|count| *count /= read);
        }
        counts
    }
}

/// A feature's values, the oldest first.
enum Items<'a> {
    Number(f64),
    Text(Option<&'a str>),
    Texts(&'a [String]),
    /// Vectors of so many numbers.
    Numbers(&'a [f64], usize),
    Recent(&'a Context, Recent, f64),
}

impl<'a> Items<'a> {
    fn len(&self) -> usize {
        match self {
            Items::Number(_) | Items::Text(_) => 1,
            Items::Texts(texts) => texts.len(),
            Items::Numbers(numbers, width) => numbers.len() / width,
            Items::Recent(context, ..) => context.recent_len(),
        }
    }

    /// Whether something stands at a position.
    fn holds(&self, i: usize) -> bool {
        match self {
            Items::Numbers(numbers, width) => numbers[i * width..(i + 1) * width].iter().any(|x| !x.is_nan()),
            Items::Recent(..) => true,
            _ => self.text(i).is_some(),
        }
    }

    fn text(&self, i: usize) -> Option<&'a str> {
        match self {
            Items::Text(text) => *text,
            Items::Texts(texts) => Some(texts[i].as_str()).filter(|text| !text.is_empty()),
            Items::Recent(context, what, _) => {
                let (key, kind, _) = context.recent(i)?;
                match what {
                    Recent::Key => Some(key),
                    Recent::Event => context.recent_kind(i).map(EventKind::name),
                    _ => kind,
                }
            }
            _ => None,
        }
    }

    fn number(&self, i: usize, column: usize) -> f64 {
        match self {
            Items::Number(x) => *x,
            Items::Numbers(numbers, width) => numbers[i * width + column],
            Items::Recent(context, _, now) => {
                context.recent(i).map_or(f64::NAN, |(_, _, time)| math::max(now - time, 0.0) / 1000.0)
            }
            _ => f64::NAN,
        }
    }
}

/// Hour of the day in UTC, of milliseconds since the epoch; NaN of what is not finite.
fn hour(now: f64) -> f64 {
    const DAY: f64 = 86_400e3;
    if !now.is_finite() {
        return f64::NAN;
    }
    // `fmod` without libm's, which divides 128 bits. Every difference is exact, for its terms are within a factor of two.
    let mut rest = now.abs();
    let mut days = DAY;
    while days <= rest / 2.0 {
        days *= 2.0;
    }
    while days >= DAY {
        if rest >= days {
            rest -= days;
        }
        days /= 2.0;
    }
    (rest.copysign(now) / 3_600e3).floor()
}

impl<'a> Row<'a> {
    pub fn number(&self, source: Source) -> f64 {
        match source {
            Source::Candidate(c) => self.table.number(c, self.row),
            Source::Request(c) => self.table.request_number(c),
            Source::ServerRank => (self.row + 1) as f64,
            Source::Hour => hour(self.now),
            Source::Local(signal) => self.context.value(signal, &self.subject, self.now),
            Source::Surface | Source::Recent(_) => f64::NAN,
        }
    }

    fn text(&self, source: Source) -> Option<&'a str> {
        match source {
            Source::Candidate(c) => self.table.text(c, self.row),
            Source::Request(c) => self.table.request_text(c),
            Source::Surface => self.surface,
            _ => None,
        }
    }

    fn texts(&self, source: Source) -> Option<&'a [String]> {
        match source {
            Source::Candidate(c) => self.table.texts(c, self.row),
            Source::Request(c) => self.table.request_texts(c),
            _ => None,
        }
    }

    fn numbers(&self, source: Source) -> Option<&'a [f64]> {
        match source {
            Source::Candidate(c) => self.table.numbers(c, self.row),
            Source::Request(c) => self.table.request_numbers(c),
            _ => None,
        }
    }

    fn related(&self, source: Source, signal: Option<Signal>, aggregate: Aggregate) -> f64 {
        let keys = self.texts(source).unwrap_or_default();
        let Some(Signal::Counter(_, kind, h)) = signal else { return f64::NAN };
        let values = keys.iter().map(|k| self.context.key_counter(k, kind, h, self.now));
        values.fold(0.0, |sum, v| match aggregate {
            Aggregate::Sum => sum + v,
            Aggregate::Max => math::max(sum, v),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::hour;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_hour_is_that_of_fmod(bits in any::<u64>(), now in -1e14..1e14) {
            for now in [f64::from_bits(bits), now, libm::floor(now), libm::floor(now / 3_600e3) * 3_600e3] {
                let naive = libm::floor(libm::fmod(now, 86_400e3) / 3_600e3);
                prop_assert!(hour(now).to_bits() == naive.to_bits() || hour(now).is_nan() && naive.is_nan(), "{now:e}");
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_have_an_hour_too() {
        for now in [0.0, -0.0, 86_400e3, -86_400e3, 86_399_999.0, 172_800e3, f64::MAX, f64::MIN, f64::MIN_POSITIVE] {
            assert_eq!(hour(now).to_bits(), libm::floor(libm::fmod(now, 86_400e3) / 3_600e3).to_bits(), "{now:e}");
        }
        assert!(hour(f64::INFINITY).is_nan() && hour(f64::NAN).is_nan());
    }
}
