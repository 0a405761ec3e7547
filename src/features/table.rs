//! A request as typed columns: what both the JSON of a file and the objects of a page are read into.

use super::source::{CellKind, Column, Layout};
use crate::context::{MAX_TEXT, Subject, Suggestion};
use crate::error::{Error, ErrorKind, Result};
use ranklet_kernels::sorted::sorted;

mod read;
pub(super) use read::text;

/// Candidates at most.
pub const MAX_CANDIDATES: usize = 16_384;
/// Where a candidate names the draft field that it would change.
pub(super) const FIELD_PATH: &str = "candidate.features.field";
/// What it would put there, and what stands there now.
pub(super) const SUGGESTION: [(&str, CellKind); 3] = [
    ("candidate.features.suggested", CellKind::Number),
    ("candidate.features.suggested", CellKind::String),
    ("candidate.features.current", CellKind::Number),
];
/// A cell that holds a list is `start * LIST + count` over the pool of its kind.
const LIST: u64 = 65_536;

/// One cell while it is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Absent, null or of the wrong type.
    Missing,
    /// A finite or infinite number.
    Number(f64),
    /// A text.
    Text(String),
    /// Texts.
    List(Vec<String>),
    /// Numbers.
    Numbers(Vec<f64>),
}

/// Columns of a request, with one pool of texts and one of numbers.
///
/// A cell is an f64: the number itself, or for texts the index into the pool, or for lists
/// `start * 65536 + count` over one of them; NaN is missing. The JavaScript face fills the same form.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    n: usize,
    /// By request column, with texts of their own: facts are replaced again and again.
    request: Vec<Cell>,
    /// By candidate column, `n` cells each.
    columns: Vec<Vec<f64>>,
    pool: Vec<String>,
    numbers: Vec<f64>,
    /// Column of the candidate's draft field, if the schema asks for it.
    field: Option<usize>,
    /// Columns of its [`SUGGESTION`], likewise.
    suggestion: [Option<usize>; 3],
}

pub(super) fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::RequestInvalid, what)
}

impl Table {
    /// Every index is inside the pool, every id is there and once.
    fn check(&self, layout: &Layout, request: &[f64]) -> Result<()> {
        let fits = |column: &Column, cell: f64| match column.kind {
            CellKind::Number => true,
            _ if cell.is_nan() => true,
            CellKind::String => cell >= 0.0 && (cell as usize) < self.pool.len(),
            CellKind::Strings => cell >= 0.0 && pooled(&self.pool, cell).is_some(),
            CellKind::Numbers => {
                cell >= 0.0
                    && pooled(&self.numbers, cell).is_some_and(|v| v.len().is_multiple_of(column.width.max(1) as usize))
            }
        };
        let whole = layout.request.iter().zip(request).all(|(c, &cell)| fits(c, cell))
            && layout.candidate.iter().zip(&self.columns).all(|(c, cells)| cells.iter().all(|&cell| fits(c, cell)));
        if !whole {
            return Err(invalid("a cell's index lies outside its pool"));
        }
        for row in 0..self.n {
            if self.text(Layout::ID, row).is_none() {
                let message = format!("candidate {row} has no `id`; give every candidate a text or an integer");
                return Err(invalid(message));
            }
        }
        let long = |text: Option<&str>| text.is_some_and(|t| t.len() > MAX_TEXT);
        if (0..self.n)
            .any(|row| long(Some(self.id(row))) || long(Some(self.key(row))) || long(self.candidate_type(row)))
        {
            return Err(invalid("ids, keys and types have at most 512 bytes"));
        }
        let order = sorted(self.n, &|a, b| self.id(a).cmp(self.id(b)));
        match order.windows(2).find(|w| self.id(w[0]) == self.id(w[1])) {
            Some(w) => {
                Err(invalid(format!("the id `{}` stands twice; ids must be unique in a request", self.id(w[0]))))
            }
            None => Ok(()),
        }
    }

    /// Adds the rows of `more`, whose facts are ignored.
    ///
    /// # Errors
    /// `request_invalid` or `limit_exceeded`; nothing is changed then.
    pub fn append(&mut self, layout: &Layout, more: &Table) -> Result<()> {
        let mut joined = self.clone();
        let shift = (joined.pool.len(), joined.numbers.len());
        joined.pool.extend(more.pool.iter().cloned());
        joined.numbers.extend(&more.numbers);
        joined.n += more.n;
        if joined.n > MAX_CANDIDATES {
            return Err(Error::new(ErrorKind::LimitExceeded, format!("at most {MAX_CANDIDATES} candidates")));
        }
        for ((column, cells), new) in layout.candidate.iter().zip(&mut joined.columns).zip(&more.columns) {
            cells.extend(new.iter().map(|&cell| shifted(column.kind, cell, shift)));
        }
        joined.check(layout, &[])?;
        *self = joined;
        Ok(())
    }

    /// Takes the facts of `other`.
    pub fn update_facts(&mut self, other: Table) {
        self.request = other.request;
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// A number of a candidate.
    pub fn number(&self, column: usize, row: usize) -> f64 {
        self.columns[column][row]
    }

    /// A text of a candidate.
    pub fn text(&self, column: usize, row: usize) -> Option<&str> {
        self.pooled(self.columns[column][row])
    }

    /// The texts of a candidate's list; None where it is missing.
    pub fn texts(&self, column: usize, row: usize) -> Option<&[String]> {
        pooled(&self.pool, self.columns[column][row])
    }

    /// The numbers of a candidate's list; None where it is missing.
    pub fn numbers(&self, column: usize, row: usize) -> Option<&[f64]> {
        pooled(&self.numbers, self.columns[column][row])
    }

    /// A number of the request.
    pub fn request_number(&self, column: usize) -> f64 {
        match self.request.get(column) {
            Some(Cell::Number(x)) => *x,
            _ => f64::NAN,
        }
    }

    /// A text of the request.
    pub fn request_text(&self, column: usize) -> Option<&str> {
        match self.request.get(column) {
            Some(Cell::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The texts of a request's list; None where it is missing.
    pub fn request_texts(&self, column: usize) -> Option<&[String]> {
        match self.request.get(column) {
            Some(Cell::List(texts)) => Some(texts),
            _ => None,
        }
    }

    /// The numbers of a request's list; None where it is missing.
    pub fn request_numbers(&self, column: usize) -> Option<&[f64]> {
        match self.request.get(column) {
            Some(Cell::Numbers(numbers)) => Some(numbers),
            _ => None,
        }
    }

    /// The id of a row.
    pub fn id(&self, row: usize) -> &str {
        self.text(Layout::ID, row).unwrap_or_default()
    }

    /// The key of a row: its id when it has none.
    pub fn key(&self, row: usize) -> &str {
        self.text(Layout::KEY, row).unwrap_or_else(|| self.id(row))
    }

    /// The type of a row.
    pub fn candidate_type(&self, row: usize) -> Option<&str> {
        self.text(Layout::TYPE, row)
    }

    /// The draft field of a row.
    pub fn field(&self, row: usize) -> Option<&str> {
        self.field.and_then(|c| self.text(c, row))
    }

    /// What local signals are asked about a row.
    pub fn subject<'a>(&'a self, row: usize, surface: Option<&'a str>) -> Subject<'a> {
        let [number, text, current] = self.suggestion;
        let number_of = |column: Option<usize>| column.map(|c| self.number(c, row)).filter(|x| !x.is_nan());
        let suggested = Suggestion {
            number: number_of(number),
            text: text.and_then(|c| self.text(c, row)),
            current: number_of(current),
        };
        let (key, candidate_type) = (self.key(row), self.candidate_type(row));
        Subject { key, candidate_type, surface, field: self.field(row), suggested, found: None }
    }

    fn pooled(&self, cell: f64) -> Option<&str> {
        if cell.is_nan() { None } else { self.pool.get(cell as usize).map(String::as_str) }
    }
}

/// The list that a cell names in its pool; None for a missing one.
fn pooled<T>(pool: &[T], cell: f64) -> Option<&[T]> {
    if cell.is_nan() {
        return None;
    }
    let cell = cell as u64;
    let start = usize::try_from(cell / LIST).ok()?;
    pool.get(start..start.checked_add((cell % LIST) as usize)?)
}

/// A cell whose pools, of texts and of numbers, are joined behind others of these lengths.
fn shifted(kind: CellKind, cell: f64, (texts, numbers): (usize, usize)) -> f64 {
    match kind {
        CellKind::Number => cell,
        CellKind::String => cell + texts as f64,
        CellKind::Strings => cell + (texts as u64 * LIST) as f64,
        CellKind::Numbers => cell + (numbers as u64 * LIST) as f64,
    }
}

#[cfg(test)]
mod tests;
