//! One feature: its value is read, encoded, transformed and put into its columns.

use super::categories::Categories;
use super::schema::{Aggregate, Encode, Feature, Kind};
use super::source::{Recent, Source, Sources};
use super::step::{Step, steps};
use super::table::Table;
use crate::context::{Context, Signal, Subject};
use crate::error::Result;
use ranklet_kernels::math::f64 as math;

/// Between the texts of a cross: no name holds it.
const BETWEEN: &str = "\u{1f}";

#[derive(Debug, Clone)]
enum Reader {
    Number(Source),
    Category { sources: Vec<Source>, categories: Categories },
    Related { source: Source, signal: Signal, aggregate: Aggregate },
    List { source: Source, categories: Categories, encode: Encode, most: usize },
    Vector(Source),
    Sequence { source: Source, vector: Option<usize>, of: Of, padding: f64 },
}

/// What a sequence gives at each of its positions.
#[derive(Debug, Clone)]
enum Of {
    Numbers,
    Categories(Categories),
    Mask,
}

/// A feature with everything resolved.
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
    reader: Reader,
    steps: Vec<Step>,
    missing: Option<f64>,
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

#[inline(never)]
fn reader(f: &Feature, s: &Sources) -> Reader {
    let source = s.own;
    let categories = || Categories::new(f);
    match (f.kind, s.signal) {
        (Kind::Related, Some(signal)) => Reader::Related { source, signal, aggregate: f.aggregate },
        (Kind::Categorical, _) => {
            let sources = std::iter::once(source).chain(s.cross.iter().copied()).collect();
            Reader::Category { sources, categories: categories() }
        }
        (Kind::List, _) => {
            let most = f.length.unwrap_or(Feature::LIST) as usize;
            Reader::List { source, categories: categories(), encode: f.encode, most }
        }
        (Kind::Embedding, _) => Reader::Vector(source),
        (Kind::Sequence, _) => {
            let of = match f.encode {
                Encode::Mask => Of::Mask,
                _ if f.categories() > 0 => Of::Categories(categories()),
                _ => Of::Numbers,
            };
            Reader::Sequence { source, vector: s.vector, of, padding: f.padding.unwrap_or(0.0) }
        }
        _ => Reader::Number(source),
    }
}

impl Filler {
    pub fn new(f: &Feature, s: &Sources) -> Result<Filler> {
        let steps = steps(f, s)?;
        Ok(Filler {
            first: 0,
            step: f.step_width(),
            stride: f.step_width(),
            positions: f.positions() as usize,
            dynamic: s.is_dynamic() || steps.iter().any(|s| matches!(s, Step::Age(_))),
            shared: s.is_shared(),
            in_shared_row: false,
            reader: reader(f, s),
            steps,
            missing: f.missing,
        })
    }

    /// Its columns in a row.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        let at = |position: usize| self.first + position * self.stride;
        (0..self.positions).flat_map(move |position| at(position)..at(position) + self.step)
    }

    /// Fills its columns of a row, and tells whether a bit changed.
    pub fn fill(&self, row: &Row<'_>, cells: &mut [f32]) -> bool {
        let mut changed = false;
        let mut place = |column: usize, x: f64| {
            let x = if x.is_nan() { self.missing.unwrap_or(x) } else { x };
            changed |= put(&mut cells[self.first + column], x);
        };
        match &self.reader {
            Reader::Number(source) => place(0, self.stepped(row.number(*source), row)),
            Reader::Related { source, signal, aggregate } => {
                place(0, self.stepped(row.related(*source, *signal, *aggregate), row));
            }
            Reader::Category { sources, categories } => match &sources[..] {
                [source] => categories.write(row.text(*source), self.step, &mut place),
                _ => {
                    let texts: Option<Vec<&str>> = sources.iter().map(|&source| row.text(source)).collect();
                    categories.write(texts.map(|texts| texts.join(BETWEEN)).as_deref(), self.step, &mut place);
                }
            },
            Reader::List { source, categories, encode, most } => {
                let texts = row.texts(*source).unwrap_or_default();
                let counts = counted(&texts[..texts.len().min(*most)], categories, *encode, self.step);
                counts.into_iter().enumerate().for_each(|(column, x)| place(column, x));
            }
            Reader::Vector(source) => {
                let numbers = row.numbers(*source).filter(|numbers| numbers.len() == self.step);
                for column in 0..self.step {
                    place(column, self.stepped(numbers.map_or(f64::NAN, |numbers| numbers[column]), row));
                }
            }
            Reader::Sequence { source, vector, of, padding } => {
                let items = row.items(*source, *vector);
                let length = items.len();
                let first = length.saturating_sub(self.positions);
                for position in 0..self.positions {
                    let at = position * self.stride;
                    let i = first + position;
                    match of {
                        Of::Mask => place(at, if i < length && items.holds(i) { 1.0 } else { 0.0 }),
                        _ if i >= length => (0..self.step).for_each(|column| place(at + column, *padding)),
                        Of::Categories(categories) => {
                            categories.write(items.text(i), self.step, &mut |column, x| place(at + column, x));
                        }
                        Of::Numbers => {
                            for column in 0..self.step {
                                place(at + column, self.stepped(items.number(i, column), row));
                            }
                        }
                    }
                }
            }
        }
        changed
    }

    fn stepped(&self, x: f64, row: &Row<'_>) -> f64 {
        self.steps.iter().fold(x, |x, step| step.apply(x, row))
    }
}

/// A column a category: whether, how often, or in what share of the list it stands.
fn counted(texts: &[String], categories: &Categories, encode: Encode, columns: usize) -> Vec<f64> {
    let mut counts = vec![0.0; columns];
    let mut read = 0.0;
    for text in texts.iter().filter(|text| !text.is_empty()) {
        read += 1.0;
        if let Some(count) = categories.place(text, 0).and_then(|at| counts.get_mut(at)) {
            *count += 1.0;
        }
    }
    let form = |count: f64| match encode {
        Encode::Counts => count,
        Encode::Mean if count > 0.0 => count / read,
        _ => math::min(count, 1.0),
    };
    counts.into_iter().map(form).collect()
}

/// A sequence's values, the oldest first.
enum Items<'a> {
    Texts(&'a [String]),
    /// Vectors of so many numbers.
    Numbers(&'a [f64], usize),
    Recent(&'a Context, Recent, f64),
}

impl<'a> Items<'a> {
    fn len(&self) -> usize {
        match self {
            Items::Texts(texts) => texts.len(),
            Items::Numbers(numbers, width) => numbers.len() / width,
            Items::Recent(context, ..) => context.recent_len(),
        }
    }

    /// Whether something stands at a position.
    fn holds(&self, i: usize) -> bool {
        match self {
            Items::Texts(texts) => !texts[i].is_empty(),
            Items::Numbers(numbers, width) => numbers[i * width..(i + 1) * width].iter().any(|x| !x.is_nan()),
            Items::Recent(..) => true,
        }
    }

    fn text(&self, i: usize) -> Option<&'a str> {
        match self {
            Items::Texts(texts) => Some(texts[i].as_str()).filter(|text| !text.is_empty()),
            Items::Recent(context, what, _) => {
                let (key, kind, _) = context.recent(i)?;
                if *what == Recent::Key { Some(key) } else { kind }
            }
            Items::Numbers(..) => None,
        }
    }

    fn number(&self, i: usize, column: usize) -> f64 {
        match self {
            Items::Numbers(numbers, width) => numbers[i * width + column],
            Items::Recent(context, _, now) => {
                context.recent(i).map_or(f64::NAN, |(_, _, time)| math::max(now - time, 0.0) / 1000.0)
            }
            Items::Texts(_) => f64::NAN,
        }
    }
}

impl<'a> Row<'a> {
    pub fn number(&self, source: Source) -> f64 {
        match source {
            Source::Candidate(c) => self.table.number(c, self.row),
            Source::Request(c) => self.table.request_number(c),
            Source::ServerRank => (self.row + 1) as f64,
            Source::Hour => libm::floor(libm::fmod(self.now, 86_400e3) / 3_600e3),
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

    /// A sequence's values: vectors of so many numbers, or texts.
    fn items(&self, source: Source, vector: Option<usize>) -> Items<'a> {
        match (source, vector) {
            (Source::Recent(what), _) => Items::Recent(self.context, what, self.now),
            (_, Some(width)) => Items::Numbers(self.numbers(source).unwrap_or_default(), width),
            _ => Items::Texts(self.texts(source).unwrap_or_default()),
        }
    }

    fn related(&self, source: Source, signal: Signal, aggregate: Aggregate) -> f64 {
        let keys = self.texts(source).unwrap_or_default();
        let Signal::Counter(_, kind, h) = signal else { return f64::NAN };
        let values = keys.iter().map(|k| self.context.key_counter(k, kind, h, self.now));
        values.fold(0.0, |sum, v| match aggregate {
            Aggregate::Sum => sum + v,
            Aggregate::Max => math::max(sum, v),
        })
    }
}
