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
pub enum Kind {
    /// An order.
    Decision = 0,
    /// An item that was seen.
    Exposure = 1,
    /// What came of an item.
    Outcome = 2,
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    /// Whole numbers of 7 bits a byte, the lowest first (LEB128).
    Varint,
    /// The bits of an f32, the lowest byte first.
    Bits32,
    /// The bits of an f64, the lowest byte first.
    Bits64,
}

/// The canonical bits: one NaN.
pub fn bits64(x: f64) -> u64 {
    if x.is_nan() { 0x7ff8 << 48 } else { x.to_bits() }
}

/// The same of an f32.
pub fn bits32(x: f32) -> u32 {
    if x.is_nan() { 0x7fc0 << 16 } else { x.to_bits() }
}

/// A record as it grows.
#[derive(Debug)]
pub struct Form {
    body: Vec<u8>,
    kind: Kind,
}

impl Form {
    /// A record without anything in it.
    pub fn new(kind: Kind) -> Form {
        Form { body: Vec::new(), kind }
    }

    /// The whole: magic, version, kind, length, body.
    pub fn finish(self) -> Vec<u8> {
        let mut whole = Form { body: vec![MAGIC, VERSION, self.kind as u8], kind: self.kind };
        whole.varint(self.body.len() as u64);
        whole.body.extend_from_slice(&self.body);
        whole.body
    }

    /// A whole number.
    #[inline(never)]
    pub fn varint(&mut self, mut x: u64) {
        while x >= 0x80 {
            self.body.push(x as u8 | 0x80);
            x >>= 7;
        }
        self.body.push(x as u8);
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    /// An f64.
    pub fn real(&mut self, x: f64) {
        self.bytes(&bits64(x).to_le_bytes());
    }

    /// A text: its length in bytes, then the bytes.
    #[inline(never)]
    pub fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    /// Bytes by their hex digits, after their number; none where the text is none.
    pub fn hex(&mut self, text: &str) {
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok());
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.unwrap_or_default();
        self.varint(bytes.len() as u64);
        self.bytes(&bytes);
    }

    /// A column of `n` values: 1 and the value where all are alike to the bit, else 2 and each. A column of `absent`
    /// alone is a 0.
    #[inline(never)]
    pub fn column(&mut self, n: usize, cells: Cells, absent: u64, get: &dyn Fn(usize) -> u64) {
        let first = if n == 0 { absent } else { get(0) };
        let alike = (1..n).all(|i| get(i) == first);
        let count = match alike {
            true if first == absent => 0,
            true => 1,
            false => n,
        };
        self.body.push(if alike { count as u8 } else { 2 });
        for i in 0..count {
            let value = get(i);
            match cells {
                Cells::Varint => self.varint(value),
                Cells::Bits32 => self.bytes(&(value as u32).to_le_bytes()),
                Cells::Bits64 => self.bytes(&value.to_le_bytes()),
            }
        }
    }

    /// Rows of f32 of one width: of each a bit a column for what is not as in the row before (of the first: not 0), the
    /// lowest bit first, then the bits of those values.
    #[inline(never)]
    pub fn rows<'a>(&mut self, n: usize, width: usize, get: &dyn Fn(usize) -> &'a [f32]) {
        let mut before = vec![0u32; width];
        for i in 0..n {
            let at = self.body.len();
            self.body.resize(at + width.div_ceil(8), 0);
            for (column, (&x, before)) in get(i).iter().zip(&mut before).enumerate() {
                let bits = bits32(x);
                if bits != *before {
                    self.body[at + column / 8] |= 1 << (column % 8);
                    self.bytes(&bits.to_le_bytes());
                    *before = bits;
                }
            }
        }
    }
}
