//! A request as typed columns: what both the JSON of a file and the objects of a page are read into.

use super::request::Request;
use super::source::{CellKind, Column, Layout};
use crate::context::{MAX_TEXT, Subject, Suggestion};
use crate::error::{Error, ErrorKind, Result};
use ranklet_kernels::sorted::sorted;
use serde_json::Value;

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

/// Puts a list into its pool; its cell.
fn run<T>(pool: &mut Vec<T>, values: Vec<T>) -> f64 {
    let cell = pool.len() as u64 * LIST + values.len() as u64;
    pool.extend(values);
    cell as f64
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
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(x) => match (x.as_i64(), x.as_u64(), x.as_f64()) {
            (Some(i), _, _) => Some(i.to_string()),
            (_, Some(u), _) => Some(u.to_string()),
            (_, _, Some(f)) if f.abs() < 9_007_199_254_740_992.0 && libm::floor(f) == f => Some((f as i64).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use serde_json::json;

    fn layout() -> Layout {
        let mut layout = Layout::new();
        layout.request.push(Column { path: "facts.account.age".into(), kind: CellKind::Number, width: 1 });
        layout.candidate.push(Column { path: "candidate.features.tags".into(), kind: CellKind::Strings, width: 1 });
        layout
    }

    fn request(candidates: Value) -> Request {
        json::from_value(&json!({ "now": 1.0, "candidates": candidates, "facts": { "account": { "age": 3 } } }))
            .unwrap()
    }

    #[test]
    fn json_and_columns_read_alike() {
        let candidates = json!([
            { "id": "ä𝄞", "type": 7, "server_score": true, "features": { "tags": ["x", 1, null] } },
            { "id": 18_446_744_073_709_551_615_u64, "key": "k", "value": "no number", "boost": 0.5 },
        ]);
        let json = Table::from_json(&layout(), &request(candidates)).unwrap();
        assert_eq!((json.id(0), json.key(0), json.candidate_type(0)), ("ä𝄞", "ä𝄞", Some("7")));
        assert_eq!((json.id(1), json.key(1)), ("18446744073709551615", "k"));
        assert_eq!(json.number(Layout::SERVER_SCORE, 0), 1.0);
        assert!(json.number(Layout::VALUE, 1).is_nan());
        assert_eq!(json.texts(10, 0).unwrap(), ["x", "1", ""]);
        assert_eq!(json.request_number(0), 3.0);

        let nan = f64::NAN;
        #[rustfmt::skip]
        let cells = [
            3.0, 0.0, 1.0, nan, 2.0, 3.0, nan, 1.0, nan, nan, nan, nan, 0.5, nan, nan, nan, nan, nan, nan, nan, nan,
            4.0 * 65536.0 + 3.0, nan,
        ];
        let pool = "ä𝄞18446744073709551615k7x1";
        let columns = Table::from_columns(&layout(), 2, &cells, pool, &[3, 20, 1, 1, 1, 1, 0]).unwrap();
        assert_eq!(columns.id(0), json.id(0));
        assert_eq!((columns.id(1), columns.key(1), columns.candidate_type(0)), (json.id(1), "k", Some("7")));
        assert_eq!(columns.texts(10, 0), json.texts(10, 0));
    }

    #[test]
    fn bad_requests_are_named() {
        let kind = |candidates| Table::from_json(&layout(), &request(candidates)).unwrap_err().kind();
        assert_eq!(kind(json!([{ "id": 1 }, { "id": "1" }])), ErrorKind::RequestInvalid);
        assert_eq!(kind(json!([{}])), ErrorKind::RequestInvalid);
        assert_eq!(kind(json!([null])), ErrorKind::RequestInvalid);
        let many: Vec<Value> = (0..=MAX_CANDIDATES).map(|i| json!({ "id": i })).collect();
        assert_eq!(kind(json!(many)), ErrorKind::LimitExceeded);
        for (n, cells, pool, lengths) in [
            (1, vec![0.0], "", vec![]),
            (0, vec![0.0], "x", vec![2]),
            (0, vec![0.0], "xy", vec![1]),
            (1, vec![0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f64::NAN], "x", vec![1]),
            (1, vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, f64::NAN], "x", vec![1]),
            (
                1,
                vec![0.0, 0.0, f64::NAN, f64::NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f64::NAN, 65536.0 * 3.0],
                "x",
                vec![1],
            ),
        ] {
            let error = Table::from_columns(&layout(), n, &cells, pool, &lengths).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RequestInvalid);
        }
    }

    #[test]
    fn vectors_of_any_other_shape_are_missing() {
        let mut layout = layout();
        layout.candidate.push(Column { path: "candidate.features.v".into(), kind: CellKind::Numbers, width: 2 });
        layout.request.push(Column { path: "facts.market.h".into(), kind: CellKind::Numbers, width: 1 });
        let read = |v: Value| {
            let candidates = json!([{ "id": 1, "features": { "v": v } }]);
            let table = Table::from_json(&layout, &request(candidates)).unwrap();
            table.numbers(11, 0).map(<[f64]>::to_vec)
        };
        assert_eq!(read(json!([1, true, 2.5, 4])), Some(vec![1.0, 1.0, 2.5, 4.0]));
        assert_eq!(read(json!([[1, 2], [3, 4]])), Some(vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(read(json!([])), Some(vec![]));
        assert!(read(json!([[1, null]])).is_some_and(|v| v[0] == 1.0 && v[1].is_nan()));
        for other in
            [json!([1, 2, 3]), json!([[1, 2], [3]]), json!([[1, 2], 3]), json!("12"), json!({ "0": 1 }), json!(7)]
        {
            assert_eq!(read(other.clone()), None, "{other}");
        }
        let long: Vec<u32> = (0..65_536).collect();
        assert_eq!(read(json!(long)), None);
    }

    #[test]
    fn lists_of_numbers_travel_behind_the_columns_and_are_checked() {
        let mut layout = Layout::new();
        layout.request.push(Column { path: "facts.market.h".into(), kind: CellKind::Numbers, width: 1 });
        layout.candidate.push(Column { path: "candidate.features.v".into(), kind: CellKind::Numbers, width: 2 });
        let nan = f64::NAN;
        let cells = |h: f64, v: f64| [h, 0.0, nan, nan, nan, nan, nan, nan, nan, nan, nan, v, 7.0, 8.0, 9.0];
        let table = |cells: &[f64]| Table::from_columns(&layout, 1, cells, "x", &[1]);
        let mut read = table(&cells(65_536.0 * 2.0 + 1.0, 2.0)).unwrap();
        assert_eq!((read.request_numbers(0), read.numbers(10, 0)), (Some(&[9.0][..]), Some(&[7.0, 8.0][..])));
        let more = table(&cells(nan, 65_536.0 + 2.0)).unwrap();
        let mut other = more.clone();
        other.pool = vec!["y".to_owned()];
        read.append(&layout, &other).unwrap();
        assert_eq!((read.numbers(10, 0), read.numbers(10, 1)), (Some(&[7.0, 8.0][..]), Some(&[8.0, 9.0][..])));
        for (h, v) in [(nan, 65_536.0 * 2.0 + 2.0), (nan, 1.0), (-1.0, nan), (nan, 1e300), (65_536.0 * 4.0, nan)] {
            assert_eq!(table(&cells(h, v)).unwrap_err().kind(), ErrorKind::RequestInvalid, "{h} {v}");
        }
        // Without a column for them there is nothing behind the columns.
        assert!(Table::from_columns(&Layout::new(), 0, &[1.0], "", &[]).is_err());
    }

    #[test]
    fn append_keeps_every_cell_and_refuses_a_known_id() {
        let mut a =
            Table::from_json(&layout(), &request(json!([{ "id": "a", "features": { "tags": ["p"] } }]))).unwrap();
        let b =
            Table::from_json(&layout(), &request(json!([{ "id": "b", "features": { "tags": ["q", "r"] } }]))).unwrap();
        a.append(&layout(), &b).unwrap();
        assert_eq!((a.len(), a.id(1), a.texts(10, 1).unwrap().len()), (2, "b", 2));
        assert_eq!(a.append(&layout(), &b).unwrap_err().kind(), ErrorKind::RequestInvalid);
        assert_eq!(a.len(), 2);
    }
}
