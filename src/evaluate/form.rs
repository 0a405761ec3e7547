//! The compact form of a record, read: everything is checked, nothing can fail otherwise than by an error.

use crate::ranker::form::{Kind, MAGIC, VERSION};
use std::collections::BTreeMap;

/// What was read, or why bytes are not a record.
pub type Read<T> = Result<T, String>;

/// Columns of a row at most.
const MAX_WIDTH: u64 = 1 << 16;

const ENDS: &str = "it ends too soon";

/// Bytes that are left.
#[derive(Debug, Clone)]
pub struct Bytes<'a>(&'a [u8]);

/// One record of a log, its body not read yet.
#[derive(Debug)]
pub struct Frame<'a> {
    /// What it is of.
    pub kind: Kind,
    /// What it says.
    pub body: Bytes<'a>,
}

/// Takes the next record off `log`.
///
/// # Errors
/// It does not begin as a record of this version does, or ends before its length.
pub fn frame<'a>(log: &mut &'a [u8]) -> Read<Frame<'a>> {
    let mut bytes = Bytes(log);
    let [magic, version, kind] = *bytes.take(3)? else { return Err(ENDS.to_owned()) };
    if magic != MAGIC {
        return Err("it does not begin as a record does".to_owned());
    }
    if version != VERSION {
        return Err(format!("version {version} of the form; this reads version {VERSION}"));
    }
    let kind = match kind {
        0 => Kind::Decision,
        1 => Kind::Exposure,
        2 => Kind::Outcome,
        _ => return Err(format!("kind {kind}; there are 0 to 2")),
    };
    let body = Bytes(bytes.sized()?);
    *log = bytes.0;
    Ok(Frame { kind, body })
}

/// The values of a field: one, or one an item.
#[derive(Debug)]
pub enum Values<'a> {
    /// Whole numbers, the bits of floats.
    Numbers(Vec<u64>),
    /// Texts.
    Texts(Vec<&'a str>),
    /// Bytes.
    Bytes(Vec<&'a [u8]>),
    /// Rows of one width.
    Rows(usize, Vec<u32>),
    /// One list of texts.
    List(Vec<&'a str>),
}

/// Fields by their numbers. One that is asked for by another form than it has is not there.
#[derive(Debug)]
pub struct Fields<'a> {
    n: usize,
    fields: BTreeMap<u64, Values<'a>>,
}

impl<'a> Bytes<'a> {
    /// That nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(&self) -> Read<()> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{} bytes too many", self.0.len())) }
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ENDS)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A whole number.
    ///
    /// # Errors
    /// It ends too soon or has more than 64 bits.
    pub fn varint(&mut self) -> Read<u64> {
        let mut x = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            x |= part << shift;
            if byte < 0x80 {
                return Ok(x);
            }
        }
        Err("a whole number has more than 64 bits".to_owned())
    }

    fn sized(&mut self) -> Read<&'a [u8]> {
        let size = self.varint()?;
        self.take(usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Read<&'a str> {
        std::str::from_utf8(self.sized()?).map_err(|_| "a text is not UTF-8".to_owned())
    }

    fn fixed(&mut self, width: usize) -> Read<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |x, &b| x << 8 | u64::from(b)))
    }

    /// Fields up to their end, of `n` items (1 for those of the whole record).
    ///
    /// # Errors
    /// They end too soon, one stands twice, or is written in a way that this version does not know.
    pub fn fields(&mut self, n: usize) -> Read<Fields<'a>> {
        let mut fields = BTreeMap::new();
        loop {
            let field = self.varint()?;
            if field == 0 {
                return Ok(Fields { n, fields });
            }
            let form = self.take(1)?[0];
            let count = if form & 1 == 1 { n } else { 1 };
            let numbers = |read: &mut dyn FnMut(&mut Self) -> Read<u64>, bytes: &mut Self| -> Read<Values<'a>> {
                Ok(Values::Numbers((0..count).map(|_| read(bytes)).collect::<Read<_>>()?))
            };
            let values = match form >> 1 {
                0 | 5 => numbers(&mut Self::varint, self)?,
                1 | 6 => numbers(&mut |bytes| bytes.fixed(8), self)?,
                2 => numbers(&mut |bytes| bytes.fixed(4), self)?,
                3 => Values::Texts((0..count).map(|_| self.text()).collect::<Read<_>>()?),
                4 => Values::Bytes((0..count).map(|_| self.sized()).collect::<Read<_>>()?),
                7 => self.rows(count)?,
                8 => {
                    let count = self.varint()?;
                    Values::List((0..count).map(|_| self.text()).collect::<Read<_>>()?)
                }
                other => return Err(format!("field {field} is written in a way ({other}) that is not known")),
            };
            if fields.insert(field, values).is_some() {
                return Err(format!("field {field} stands twice"));
            }
        }
    }

    fn rows(&mut self, n: usize) -> Read<Values<'a>> {
        let width = self.varint()?;
        if width > MAX_WIDTH || (width == 0 && n > 0) {
            return Err(format!("rows of {width} columns"));
        }
        let width = width as usize;
        let mut before = vec![0; width];
        let mut rows = Vec::new();
        for _ in 0..n {
            let mask = self.take(width.div_ceil(8))?;
            for (column, x) in before.iter_mut().enumerate() {
                if mask[column / 8] >> (column % 8) & 1 == 1 {
                    *x = self.fixed(4)? as u32;
                }
            }
            rows.extend_from_slice(&before);
        }
        Ok(Values::Rows(width, rows))
    }
}

impl<'a> Fields<'a> {
    /// A number of each item; `absent` where there is no such field.
    pub fn numbers(&self, field: u64, absent: u64) -> Vec<u64> {
        match self.fields.get(&field) {
            Some(Values::Numbers(values)) if values.len() == self.n => values.clone(),
            Some(Values::Numbers(values)) if values.len() == 1 => vec![values[0]; self.n],
            _ => vec![absent; self.n],
        }
    }

    /// The same as bits of f64.
    pub fn reals(&self, field: u64, absent: f64) -> Vec<f64> {
        self.numbers(field, absent.to_bits()).into_iter().map(f64::from_bits).collect()
    }

    /// The same of 32 bits.
    ///
    /// # Errors
    /// One has more.
    pub fn wholes(&self, field: u64) -> Read<Vec<u32>> {
        let narrow = |x| u32::try_from(x).map_err(|_| format!("field {field}: {x} has more than 32 bits"));
        self.numbers(field, 0).into_iter().map(narrow).collect()
    }

    /// The one number of a field.
    pub fn number(&self, field: u64) -> Option<u64> {
        match self.fields.get(&field) {
            Some(Values::Numbers(values)) => values.first().copied(),
            _ => None,
        }
    }

    /// A text of each item.
    pub fn texts(&self, field: u64) -> Option<&[&'a str]> {
        match self.fields.get(&field) {
            Some(Values::Texts(texts)) if texts.len() == self.n => Some(texts),
            _ => None,
        }
    }

    /// The one text of a field.
    pub fn text(&self, field: u64) -> Option<String> {
        self.texts(field).and_then(|texts| texts.first()).map(|&text| text.to_owned())
    }

    /// The hex digits of a field's bytes.
    pub fn hex(&self, field: u64) -> Option<String> {
        match self.fields.get(&field) {
            Some(Values::Bytes(bytes)) => bytes.first().map(|b| b.iter().map(|byte| format!("{byte:02x}")).collect()),
            _ => None,
        }
    }

    /// The f32 bits in a field's bytes, the highest byte of each first.
    pub fn cells(&self, field: u64) -> Vec<f32> {
        let bytes = match self.fields.get(&field) {
            Some(Values::Bytes(bytes)) => bytes.first().copied().unwrap_or_default(),
            _ => &[],
        };
        let (cells, _) = bytes.as_chunks();
        cells.iter().map(|&cell| f32::from_bits(u32::from_be_bytes(cell))).collect()
    }

    /// A list of texts.
    pub fn list(&self, field: u64) -> Vec<String> {
        match self.fields.get(&field) {
            Some(Values::List(texts)) => texts.iter().map(|&text| text.to_owned()).collect(),
            _ => Vec::new(),
        }
    }

    /// Width and rows; no column where there is no such field.
    pub fn rows(&self, field: u64) -> (usize, &[u32]) {
        match self.fields.get(&field) {
            Some(Values::Rows(width, rows)) if rows.len() == width * self.n => (*width, rows),
            _ => (0, &[]),
        }
    }
}
