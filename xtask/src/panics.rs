//! Makes a panic a bare trap, before wasm-opt drops what only worded it.
//!
//! On this target a panic ends in `unreachable` and its message reaches nobody: there is no console to print it on. The code
//! that words messages, and the text formatting it pulls in, is some thousand brotli bytes of a page's module.

use std::collections::BTreeMap;

/// Parts of the mangled names of functions that never return. `rust_begin_unwind` is where every panic ends.
const DIVERGING: [&str; 11] = [
    "4core9panicking",
    "rust_begin_unwind",
    "slice_index_fail",
    "slice_error_fail",
    "13expect_failed",
    "13unwrap_failed",
    "len_mismatch_fail",
    "17capacity_overflow",
    "7raw_vec12handle_error",
    "panic_already_borrowed",
    "panic_already_mutably_borrowed",
];

/// No locals, `unreachable`, `end`: valid whatever the function's type.
const TRAP: [u8; 3] = [0x00, 0x00, 0x0b];

const CUSTOM: u8 = 0;
const IMPORT: u8 = 2;
const CODE: u8 = 10;

/// The module with those bodies replaced. It must still carry its name section.
pub fn silence(module: &[u8]) -> Result<Vec<u8>, String> {
    let sections = sections(module)?;
    let mut imported = 0;
    let mut names = BTreeMap::new();
    for (id, content) in &sections {
        match *id {
            IMPORT => imported = imported_functions(content)?,
            CUSTOM => names.extend(function_names(content)?),
            _ => {}
        }
    }
    let diverges = |index: u32| {
        names.get(&(index + imported)).is_some_and(|name| DIVERGING.iter().any(|part| name.contains(part)))
    };
    let mut out = module[..8].to_vec();
    let mut silenced = 0;
    for (id, content) in sections {
        let replaced;
        let content = if id == CODE {
            (replaced, silenced) = replace_bodies(content, diverges)?;
            &replaced
        } else {
            content
        };
        out.push(id);
        write(&mut out, content.len());
        out.extend_from_slice(content);
    }
    if silenced == 0 {
        return Err("no function that panics is named as it used to be".into());
    }
    Ok(out)
}

fn replace_bodies(content: &[u8], diverges: impl Fn(u32) -> bool) -> Result<(Vec<u8>, usize), String> {
    let mut reader = Reader(content);
    let count = reader.number()?;
    let mut out = Vec::with_capacity(content.len());
    let mut silenced = 0;
    write(&mut out, count as usize);
    for index in 0..count {
        let body = reader.sized()?;
        let diverging = diverges(index);
        silenced += usize::from(diverging);
        let body = if diverging { &TRAP } else { body };
        write(&mut out, body.len());
        out.extend_from_slice(body);
    }
    Ok((out, silenced))
}

fn sections(module: &[u8]) -> Result<Vec<(u8, &[u8])>, String> {
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
fn imported_functions(content: &[u8]) -> Result<u32, String> {
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

/// Subsection 1 of the section called `name`; nothing of any other custom section.
fn function_names(content: &[u8]) -> Result<BTreeMap<u32, String>, String> {
    const FUNCTIONS: u8 = 1;
    let mut reader = Reader(content);
    let mut names = BTreeMap::new();
    if reader.sized()? != b"name" {
        return Ok(names);
    }
    while !reader.0.is_empty() {
        let (id, content) = (reader.byte()?, reader.sized()?);
        if id == FUNCTIONS {
            let mut reader = Reader(content);
            for _ in 0..reader.number()? {
                let index = reader.number()?;
                names.insert(index, String::from_utf8_lossy(reader.sized()?).into_owned());
            }
        }
    }
    Ok(names)
}

/// Reads the binary format: bytes, LEB128 numbers, and runs that begin with their length.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, String> {
        let (first, rest) = self.0.split_first().ok_or("the module is cut")?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u32, String> {
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

    fn sized(&mut self) -> Result<&'a [u8], String> {
        let length = self.number()? as usize;
        let (run, rest) = self.0.split_at_checked(length).ok_or("the module is cut")?;
        self.0 = rest;
        Ok(run)
    }
}

fn write(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
        out.push(id);
        write(out, content.len());
        out.extend_from_slice(content);
    }

    /// One import, two functions with the bodies `nop` and `nop nop`, the names given.
    fn module(names: [&str; 2]) -> Vec<u8> {
        let mut out = b"\0asm\x01\0\0\0".to_vec();
        section(&mut out, 1, b"\x01\x60\0\0");
        section(&mut out, IMPORT, b"\x01\x01m\x01f\0\0");
        section(&mut out, 3, b"\x02\0\0");
        section(&mut out, CODE, b"\x02\x03\0\x01\x0b\x04\0\x01\x01\x0b");
        let mut functions = vec![2];
        for (index, name) in names.iter().enumerate() {
            functions.push(index as u8 + 1);
            write(&mut functions, name.len());
            functions.extend_from_slice(name.as_bytes());
        }
        let mut named = b"\x04name".to_vec();
        section(&mut named, 1, &functions);
        section(&mut out, CUSTOM, &named);
        out
    }

    #[test]
    fn only_what_never_returns_becomes_a_trap() {
        let before = module(["_RNvNtNtCs_4core9panicking5panic", "_ZN7ranklet6rerank"]);
        let after = silence(&before).unwrap();
        let code = sections(&after).unwrap().into_iter().find(|(id, _)| *id == CODE).unwrap().1;
        assert_eq!(code, b"\x02\x03\0\0\x0b\x04\0\x01\x01\x0b");
        assert_eq!(sections(&after).unwrap().len(), sections(&before).unwrap().len());
    }

    #[test]
    fn a_module_it_cannot_read_or_that_names_no_panic_is_refused() {
        assert!(silence(&module(["a", "b"])).unwrap_err().contains("no function that panics"));
        assert!(silence(b"\0asm").unwrap_err().contains("no WebAssembly module"));
        let whole = module(["_RNvNtNtCs_4core9panicking5panic", "b"]);
        for length in 9..whole.len() {
            // Cut between sections it may read on, but it has then lost the code or the names.
            assert!(silence(&whole[..length]).is_err(), "{length}");
        }
    }
}
