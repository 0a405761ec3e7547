//! A table read: from the JSON of a file, and from the typed buffer of a page.

use super::{Cell, FIELD_PATH, LIST, MAX_CANDIDATES, SUGGESTION, Table, invalid, pooled};
use crate::error::{Error, ErrorKind, Result};
use crate::features::request::Request;
use crate::features::source::{CellKind, Column, Layout};
use serde_json::Value;

impl Table {
    /// Reads the typed buffer of the JavaScript face: one f64 a request column, then `n` f64 a
    /// candidate column, then the numbers of lists. `pool` is all texts concatenated, `lengths` their UTF-16 lengths.
    ///
    /// # Errors
    /// `request_invalid` (a length or an index is off, an id is missing or stands twice), `limit_exceeded`.
    pub fn from_columns(layout: &Layout, n: usize, cells: &[f64], pool: &str, lengths: &[u32]) -> Result<Table> {
        if n > MAX_CANDIDATES {
            return Err(Error::new(ErrorKind::LimitExceeded, format!("{n} candidates; at most {MAX_CANDIDATES}")));
        }
        let lists = layout.request.iter().chain(&layout.candidate).any(|c| c.kind == CellKind::Numbers);
        let split = cells.split_at_checked(layout.request.len() + n * layout.candidate.len());
        let Some((cells, numbers)) = split.filter(|(_, numbers)| lists || numbers.is_empty()) else {
            return Err(invalid("the column buffer does not fit the layout"));
        };
        let (request, rest) = cells.split_at(layout.request.len());
        let columns = match n {
            0 => vec![Vec::new(); layout.candidate.len()],
            _ => rest.chunks_exact(n).map(<[f64]>::to_vec).collect(),
        };
        let mut table = Table {
            n,
            request: Vec::new(),
            columns,
            pool: split_utf16(pool, lengths).ok_or_else(|| invalid("text lengths do not fit the pool"))?,
            numbers: numbers.to_vec(),
            field: field_column(layout),
            suggestion: suggestion_columns(layout),
        };
        table.check(layout, request)?;
        table.request = layout.request.iter().zip(request).map(|(c, &cell)| table.resolved(c.kind, cell)).collect();
        Ok(table)
    }

    /// Reads the candidates and facts of a request in JSON.
    ///
    /// # Errors
    /// As [`from_columns`](Self::from_columns).
    pub fn from_json(layout: &Layout, request: &Request) -> Result<Table> {
        let n = request.candidates.len();
        if n > MAX_CANDIDATES {
            return Err(Error::new(ErrorKind::LimitExceeded, format!("{n} candidates; at most {MAX_CANDIDATES}")));
        }
        let mut table =
            Table { n, field: field_column(layout), suggestion: suggestion_columns(layout), ..Table::default() };
        for column in &layout.request {
            let value = column.path.strip_prefix("facts.").and_then(|p| lookup(&request.facts, p));
            table.request.push(read(value, column));
        }
        for column in &layout.candidate {
            let path = column.path.strip_prefix("candidate.").unwrap_or(&column.path);
            let cells = request.candidates.iter().map(|c| table.put(read(lookup(c, path), column))).collect();
            table.columns.push(cells);
        }
        table.check(layout, &[])?;
        Ok(table)
    }

    fn resolved(&self, kind: CellKind, cell: f64) -> Cell {
        match kind {
            _ if cell.is_nan() => Cell::Missing,
            CellKind::Number => Cell::Number(cell),
            CellKind::String => Cell::Text(self.pooled(cell).unwrap_or_default().to_owned()),
            CellKind::Strings => Cell::List(pooled(&self.pool, cell).unwrap_or_default().to_vec()),
            CellKind::Numbers => Cell::Numbers(pooled(&self.numbers, cell).unwrap_or_default().to_vec()),
        }
    }

    fn put(&mut self, cell: Cell) -> f64 {
        match cell {
            Cell::Missing => f64::NAN,
            Cell::Number(x) => x,
            Cell::Text(text) => {
                self.pool.push(text);
                (self.pool.len() - 1) as f64
            }
            Cell::List(texts) => run(&mut self.pool, texts),
            Cell::Numbers(numbers) => run(&mut self.numbers, numbers),
        }
    }
}

/// Puts a list into its pool; its cell.
fn run<T>(pool: &mut Vec<T>, values: Vec<T>) -> f64 {
    let cell = pool.len() as u64 * LIST + values.len() as u64;
    pool.extend(values);
    cell as f64
}

fn field_column(layout: &Layout) -> Option<usize> {
    layout.candidate.iter().position(|c| c.path == FIELD_PATH && c.kind == CellKind::String)
}

fn suggestion_columns(layout: &Layout) -> [Option<usize>; 3] {
    SUGGESTION.map(|(path, kind)| layout.candidate.iter().position(|c| c.path == path && c.kind == kind))
}

/// Cuts `pool` into texts of the given UTF-16 lengths (JavaScript counts so).
fn split_utf16(pool: &str, lengths: &[u32]) -> Option<Vec<String>> {
    let mut texts = Vec::with_capacity(lengths.len());
    let mut rest = pool;
    for &length in lengths {
        let mut left = length as usize;
        let mut end = 0;
        for c in rest.chars() {
            if left == 0 {
                break;
            }
            left = left.checked_sub(c.len_utf16())?;
            end += c.len_utf8();
        }
        if left > 0 {
            return None;
        }
        let (text, after) = rest.split_at_checked(end)?;
        texts.push(text.to_owned());
        rest = after;
    }
    rest.is_empty().then_some(texts)
}

/// The value at `section.name` or `features.name`: a name may itself hold dots.
fn lookup<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        Some((section, name)) => object.get(section)?.get(name),
        None => object.get(path),
    }
}

/// Reads a JSON value as a column's kind; anything else is missing.
fn read(value: Option<&Value>, column: &Column) -> Cell {
    let Some(value) = value else { return Cell::Missing };
    match (column.kind, value) {
        (CellKind::Number, value) => number(value).map_or(Cell::Missing, Cell::Number),
        (CellKind::Numbers, Value::Array(items)) => {
            vectors(items, column.width.max(1) as usize).map_or(Cell::Missing, Cell::Numbers)
        }
        (CellKind::String, value) => text(value).map_or(Cell::Missing, Cell::Text),
        (CellKind::Strings, Value::Array(items)) if items.len() < LIST as usize => {
            // What is no text keeps its place: a sequence's other columns count on it.
            Cell::List(items.iter().map(|item| text(item).unwrap_or_default()).collect())
        }
        _ => Cell::Missing,
    }
}

/// A number, or a boolean as 0 or 1.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(x) => x.as_f64(),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        _ => None,
    }
}

/// Numbers one after another, or lists of `width` of them each; None where the shape is another. What is no number in
/// them is NaN.
fn vectors(items: &[Value], width: usize) -> Option<Vec<f64>> {
    let mut numbers = Vec::with_capacity(items.len());
    let nested = items.iter().any(Value::is_array);
    for item in items {
        match item {
            Value::Array(vector) if vector.len() == width => {
                numbers.extend(vector.iter().map(|x| number(x).unwrap_or(f64::NAN)));
            }
            item if !nested => numbers.push(number(item).unwrap_or(f64::NAN)),
            _ => return None,
        }
    }
    (numbers.len() < LIST as usize && numbers.len().is_multiple_of(width)).then_some(numbers)
}

/// Texts, integers and booleans as JavaScript's `String(value)` writes them.
pub(in crate::features) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(x) => match (x.as_i64(), x.as_u64(), x.as_f64()) {
            (Some(i), _, _) => Some(i.to_string()),
            (_, Some(u), _) => Some(u.to_string()),
            (_, _, Some(f)) if f.abs() < 9_007_199_254_740_992.0 && f.floor() == f => Some((f as i64).to_string()),
            _ => None,
        },
        _ => None,
    }
}
