//! The compact form of a record, written: see `docs/records.md` for the layout.
//!
//! A page carries this writer alone. What reads the form, and what makes JSON of it, is in the package's JavaScript and
//! in `evaluate`.

/// The first byte of a record, which no text in UTF-8 begins with.
pub const MAGIC: u8 = 0xb5;
/// Version of the form.
pub const VERSION: u8 = 1;

/// What a record is of: the third byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "native"), expect(dead_code, reason = "a page's face writes the other two"))]
pub enum Kind {
    /// An order.
    Decision = 0,
    /// An item that was seen.
    Exposure = 1,
    /// What came of an item.
    Outcome = 2,
}

/// How a value is written: the upper bits of a field's second byte, whose lowest says whether each item has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    /// A whole number of 7 bits a byte, the lowest first (LEB128).
    Whole = 0,
    /// The bits of an f64, the lowest byte first.
    Real = 1,
    /// The bits of an f32, the lowest byte first.
    Single = 2,
    /// A length in bytes, then UTF-8.
    Text = 3,
    /// A length in bytes, then bytes whose text is their hex digits.
    Hex = 4,
    /// A whole number whose bits have names.
    Names = 5,
    /// A whole number of 8 bytes, the lowest first.
    Long = 6,
    /// After the width, rows of 32 bits a column: see [`Form::rows`].
    Row = 7,
    /// A count, then texts.
    Texts = 8,
}

/// The canonical bits: one NaN.
pub fn bits64(x: f64) -> u64 {
    if x.is_nan() { 0x7ff8 << 48 } else { x.to_bits() }
}

/// The same of an f32.
pub fn bits32(x: f32) -> u32 {
    if x.is_nan() { 0x7fc0 << 16 } else { x.to_bits() }
}

/// A record as it grows: fields, each a number (from 1), how it is written, and its value or values.
#[derive(Debug, Default)]
pub struct Form {
    body: Vec<u8>,
}

impl Form {
    /// The whole: magic, version, kind, length, body.
    pub fn finish(self, kind: Kind) -> Vec<u8> {
        let mut whole = Form { body: vec![MAGIC, VERSION, kind as u8] };
        whole.varint(self.body.len() as u64);
        whole.body.extend_from_slice(&self.body);
        whole.body
    }

    /// A whole number alone.
    #[inline(never)]
    pub fn varint(&mut self, mut x: u64) {
        while x >= 0x80 {
            self.body.push(x as u8 | 0x80);
            x >>= 7;
        }
        self.body.push(x as u8);
    }

    #[inline(never)]
    fn sized(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.body.extend_from_slice(bytes);
    }

    #[inline(never)]
    fn begin(&mut self, field: u64, cells: Cells, each: bool) {
        self.varint(field);
        self.body.push((cells as u8) << 1 | u8::from(each));
    }

    #[inline(never)]
    fn values(&mut self, cells: Cells, values: &[u64]) {
        let width = match cells {
            Cells::Real | Cells::Long => 8,
            Cells::Single => 4,
            _ => return values.iter().for_each(|&value| self.varint(value)),
        };
        let at = self.body.len();
        self.body.resize(at + width * values.len(), 0);
        for (to, value) in self.body[at..].chunks_exact_mut(width).zip(values) {
            // By bytes: a copy of so few costs a call.
            to.iter_mut().enumerate().for_each(|(i, to)| *to = (value >> (8 * i)) as u8);
        }
    }

    /// A number of the whole record.
    pub fn number(&mut self, field: u64, cells: Cells, value: u64) {
        self.begin(field, cells, false);
        self.values(cells, &[value]);
    }

    /// A text of the whole record, if there is one.
    pub fn text(&mut self, field: u64, text: Option<&str>) {
        if let Some(text) = text {
            self.begin(field, Cells::Text, false);
            self.sized(text.as_bytes());
        }
    }

    /// Bytes of the whole record by their hex digits; none where the text is none.
    pub fn hex(&mut self, field: u64, text: &str) {
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok());
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        self.bytes(field, &bytes.unwrap_or_default());
    }

    /// Bytes of the whole record.
    pub fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.begin(field, Cells::Hex, false);
        self.sized(bytes);
    }

    /// Texts of the whole record.
    pub fn texts<'a>(&mut self, field: u64, texts: impl ExactSizeIterator<Item = &'a str>) {
        self.begin(field, Cells::Texts, false);
        self.varint(texts.len() as u64);
        texts.for_each(|text| self.sized(text.as_bytes()));
    }

    /// A text of each item.
    pub fn each_text<'a>(&mut self, field: u64, texts: impl Iterator<Item = &'a str>) {
        self.begin(field, Cells::Text, true);
        texts.for_each(|text| self.sized(text.as_bytes()));
    }

    /// A number of each of `n` items: one where all are alike to the bit, none where all are `absent`.
    #[inline(never)]
    pub fn column(&mut self, n: usize, field: u64, cells: Cells, absent: u64, get: &dyn Fn(usize) -> u64) {
        let values: Vec<u64> = (0..n).map(get).collect();
        let Some(&first) = values.first() else { return };
        if values.iter().any(|&value| value != first) {
            self.begin(field, cells, true);
            self.values(cells, &values);
        } else if first != absent {
            self.number(field, cells, first);
        }
    }

    /// Rows of 32 bits a column: of each a bit a column for what is not as in the row before (of the first: not 0), the
    /// lowest bit first, then those columns, the lowest byte first.
    #[inline(never)]
    pub fn rows(&mut self, field: u64, width: usize, rows: &[u32]) {
        if width == 0 {
            return;
        }
        self.begin(field, Cells::Row, true);
        self.varint(width as u64);
        let first = vec![0; width];
        let mut before = &first[..];
        // Written at once, as long as it can become: growing by each column costs more than all else.
        let (mut at, mask) = (self.body.len(), width.div_ceil(8));
        self.body.resize(at + rows.len() / width * mask + 4 * rows.len(), 0);
        for row in rows.chunks_exact(width) {
            let bits = at;
            at += mask;
            for (column, (now, before)) in row.iter().zip(before).enumerate() {
                if now != before {
                    self.body[bits + column / 8] |= 1 << (column % 8);
                    self.body[at..at + 4].copy_from_slice(&now.to_le_bytes());
                    at += 4;
                }
            }
            before = row;
        }
        self.body.truncate(at);
    }
}
