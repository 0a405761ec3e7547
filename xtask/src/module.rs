//! WebAssembly's binary format, as far as xtask reads and writes it.

pub const CUSTOM: u8 = 0;
pub const TYPE: u8 = 1;
pub const IMPORT: u8 = 2;
pub const FUNCTION: u8 = 3;
pub const GLOBAL: u8 = 6;
pub const EXPORT: u8 = 7;
pub const START: u8 = 8;
pub const ELEMENT: u8 = 9;
pub const CODE: u8 = 10;
pub const DATA: u8 = 11;

/// `i32.const`, `ref.func` and `end`.
pub const I32_CONST: u8 = 0x41;
pub const REF_FUNC: u8 = 0xd2;
pub const END: u8 = 0x0b;

/// The sections of a module: id and content.
pub fn sections(module: &[u8]) -> Result<Vec<(u8, &[u8])>, String> {
    if !module.starts_with(b"\0asm\x01\0\0\0") {
        return Err("this is no WebAssembly module".into());
    }
    let mut reader = Reader(&module[8..]);
    let mut found = Vec::new();
    while !reader.0.is_empty() {
        found.push((reader.byte()?, reader.sized()?));
    }
    Ok(found)
}

/// How many functions come before the module's own. rustc imports functions alone on this target.
pub fn imported_functions(content: &[u8]) -> Result<u32, String> {
    let mut reader = Reader(content);
    let count = reader.number()?;
    for _ in 0..count {
        reader.sized()?;
        reader.sized()?;
        if reader.byte()? != 0 {
            return Err("the module imports more than functions".into());
        }
        reader.number()?;
    }
    Ok(count)
}

/// Reads the binary format: bytes, LEB128 numbers, and runs that begin with their length.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (run, rest) = self.0.split_at_checked(count).ok_or("the module is cut")?;
        self.0 = rest;
        Ok(run)
    }

    pub fn number(&mut self) -> Result<u32, String> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).map_err(|_| "a number has more than 32 bits".into());
            }
        }
        Err("a number has no end".into())
    }

    /// Passes numbers of any sign and size.
    pub fn skip(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            while self.byte()? & 0x80 != 0 {}
        }
        Ok(())
    }

    pub fn sized(&mut self) -> Result<&'a [u8], String> {
        let length = self.number()? as usize;
        self.bytes(length)
    }
}

/// Appends a number.
pub fn write(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
