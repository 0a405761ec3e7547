//! The compact form of a record, read: everything is checked, nothing can fail otherwise than by an error.

use crate::ranker::form::{Cells, Kind, MAGIC, VERSION};

/// What was read, or why bytes are not a record.
pub type Read<T> = Result<T, String>;

/// Bytes that are left.
#[derive(Debug, Clone)]
pub struct Bytes<'a> {
    rest: &'a [u8],
}

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
    let mut bytes = Bytes::new(log);
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
    let length = bytes.varint()?;
    let body = Bytes::new(bytes.take(usize::try_from(length).unwrap_or(usize::MAX))?);
    *log = bytes.rest;
    Ok(Frame { kind, body })
}

const ENDS: &str = "it ends too soon";

impl<'a> Bytes<'a> {
    /// From the first on.
    pub fn new(rest: &'a [u8]) -> Bytes<'a> {
        Bytes { rest }
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(&self) -> Read<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(format!("{} bytes too many", self.rest.len())) }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ENDS)?;
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// There is none.
    pub fn byte(&mut self) -> Read<u8> {
        self.take(1).map(|b| b[0])
    }

    /// A whole number.
    ///
    /// # Errors
    /// It ends too soon or has more than 64 bits.
    pub fn varint(&mut self) -> Read<u64> {
        let mut x = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
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

    /// A count of things.
    ///
    /// # Errors
    /// There are more than `most`.
    pub fn count(&mut self, most: usize) -> Read<usize> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|&count| count <= most).ok_or_else(|| format!("{count}, more than {most}"))
    }

    /// An f64.
    ///
    /// # Errors
    /// It ends too soon.
    pub fn real(&mut self) -> Read<f64> {
        Ok(f64::from_bits(self.fixed(8)?))
    }

    /// A whole number of `width` bytes, at most 8.
    ///
    /// # Errors
    /// It ends too soon.
    pub fn fixed(&mut self, width: usize) -> Read<u64> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().rev().fold(0, |x, &b| x << 8 | u64::from(b)))
    }

    /// A text.
    ///
    /// # Errors
    /// It ends too soon or is not UTF-8.
    pub fn text(&mut self) -> Read<&'a str> {
        let size = self.varint()?;
        self.sized(size)
    }

    /// A text of `size` bytes.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn sized(&mut self, size: u64) -> Read<&'a str> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        std::str::from_utf8(self.take(size)?).map_err(|_| "a text is not UTF-8".to_owned())
    }

    /// Bytes after their number, as hex digits.
    ///
    /// # Errors
    /// They end too soon.
    pub fn hex(&mut self) -> Read<String> {
        let size = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        Ok(self.take(size)?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// A column of `n` values.
    ///
    /// # Errors
    /// It ends too soon or begins with none of 0, 1, 2.
    pub fn column(&mut self, n: usize, cells: Cells, absent: u64) -> Read<Vec<u64>> {
        let code = self.byte()?;
        let one = |bytes: &mut Self| match cells {
            Cells::Varint => bytes.varint(),
            Cells::Bits32 => bytes.fixed(4),
            Cells::Bits64 => bytes.fixed(8),
        };
        match code {
            0 => Ok(vec![absent; n]),
            1 => Ok(vec![one(self)?; n]),
            2 => (0..n).map(|_| one(self)).collect(),
            _ => Err(format!("a column begins with {code}; there are 0 to 2")),
        }
    }

    /// Rows of f32.
    ///
    /// # Errors
    /// It ends too soon.
    pub fn rows(&mut self, n: usize, width: usize) -> Read<Vec<Vec<f32>>> {
        let mut before = vec![0.0f32; width];
        let mut rows = Vec::new();
        for _ in 0..n {
            let mask = self.take(width.div_ceil(8))?;
            for (column, x) in before.iter_mut().enumerate() {
                if mask[column / 8] >> (column % 8) & 1 == 1 {
                    *x = f32::from_bits(self.fixed(4)? as u32);
                }
            }
            rows.push(before.clone());
        }
        Ok(rows)
    }
}
