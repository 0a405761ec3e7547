//! A bundle inside a wasm module, as a custom section: engine and model in one file for a host that allows one.
//!
//! WebAssembly core specification 2.0, section 5.5: a module is a preamble and sections, each an id, a length as LEB128 and that many
//! bytes; a custom one has the id 0 and begins with its name. Engines pass over those that they do not know.

use crate::error::{Error, ErrorKind, Result};
use std::ops::Range;

/// The section's name.
pub const NAME: &str = "ranklet.bundle";

/// Magic number and version of every module.
const PREAMBLE: &[u8; 8] = b"\0asm\x01\0\0\0";
/// What every module of ranklet's that opens a bundle exports.
const ENTRY: &[u8] = b"engine_new";
const CUSTOM: u8 = 0;
const EXPORT: u8 = 7;

/// Whether this is a wasm module at all.
pub fn is_wasm(bytes: &[u8]) -> bool {
    bytes.starts_with(&PREAMBLE[..4])
}

/// The runtime with the bundle in it, in place of one that it may have. The same input gives the same bytes.
///
/// # Errors
/// `request_invalid` where `wasm` is no runtime of ranklet's.
pub fn embed(wasm: &[u8], bundle: &[u8]) -> Result<Vec<u8>> {
    let sections = sections(wasm)?;
    if !sections.iter().any(|s| s.id == EXPORT && wasm[s.body.clone()].windows(ENTRY.len()).any(|w| w == ENTRY)) {
        return Err(invalid("it is a module of something else"));
    }
    let mut out = PREAMBLE.to_vec();
    for section in sections.iter().filter(|s| !s.holds(wasm)) {
        out.extend_from_slice(&wasm[section.whole.clone()]);
    }
    let mut body = Vec::with_capacity(bundle.len() + 16);
    leb128(NAME.len(), &mut body);
    body.extend_from_slice(NAME.as_bytes());
    body.extend_from_slice(bundle);
    out.push(CUSTOM);
    leb128(body.len(), &mut out);
    out.extend_from_slice(&body);
    Ok(out)
}

/// The bundle that a module holds.
///
/// # Errors
/// `request_invalid` where this is no whole module, or holds none.
pub fn embedded(wasm: &[u8]) -> Result<&[u8]> {
    let held = sections(wasm)?.into_iter().find(|section| section.holds(wasm));
    let section = held.ok_or_else(|| invalid("no bundle is embedded in it"))?;
    Ok(&wasm[section.body.start + 1 + NAME.len()..section.body.end])
}

struct Section {
    id: u8,
    whole: Range<usize>,
    body: Range<usize>,
}

impl Section {
    /// Whether it is the one that a bundle is in.
    fn holds(&self, wasm: &[u8]) -> bool {
        // A name shorter than 128 bytes has its length in one byte.
        let body = &wasm[self.body.clone()];
        self.id == CUSTOM
            && body
                .split_first()
                .is_some_and(|(&n, rest)| usize::from(n) == NAME.len() && rest.starts_with(NAME.as_bytes()))
    }
}

fn sections(wasm: &[u8]) -> Result<Vec<Section>> {
    if !wasm.starts_with(PREAMBLE) {
        return Err(invalid("it does not begin as a module of version 1"));
    }
    let mut sections = Vec::new();
    let mut at = PREAMBLE.len();
    while let Some(&id) = wasm.get(at) {
        let cut = || invalid("it is cut");
        let (length, start) = read_leb128(wasm, at + 1).ok_or_else(cut)?;
        let end = start.checked_add(length).filter(|&end| end <= wasm.len()).ok_or_else(cut)?;
        sections.push(Section { id, whole: at..end, body: start..end });
        at = end;
    }
    Ok(sections)
}

/// An unsigned 32-bit number, and where it ends.
fn read_leb128(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((usize::try_from(value).ok()?, at));
        }
    }
    None
}

fn leb128(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn invalid(what: &str) -> Error {
    Error::new(
        ErrorKind::RequestInvalid,
        format!(
            "not a runtime of ranklet's: {what}; give the package's ranklet.wasm, or one that `ranklet embed` made"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with an export `engine_new` of its own first function, and a custom section of another's.
    fn runtime() -> Vec<u8> {
        let mut wasm = PREAMBLE.to_vec();
        wasm.extend_from_slice(&[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7, 14, 1, 10]);
        wasm.extend_from_slice(ENTRY);
        wasm.extend_from_slice(&[0, 0, 10, 4, 1, 2, 0, 0x0b, 0, 6, 4]);
        wasm.extend_from_slice(b"name!");
        wasm
    }

    #[test]
    fn what_was_embedded_is_found_and_takes_the_place_of_what_was_there() {
        let runtime = runtime();
        for length in [0, 1, 112, 113, 127, 128, 20_000] {
            let bundle: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let wasm = embed(&runtime, &bundle).unwrap();
            assert!(wasm.starts_with(&runtime));
            assert_eq!(embedded(&wasm).unwrap(), bundle);
            let again = embed(&wasm, b"another").unwrap();
            assert_eq!((embedded(&again).unwrap(), again.len()), (&b"another"[..], runtime.len() + 2 + 1 + 14 + 7));
            assert_eq!(embed(&again, &bundle).unwrap(), wasm, "the same input gives the same bytes");
        }
    }

    #[test]
    fn what_is_no_runtime_is_refused_and_nothing_panics() {
        let wasm = embed(&runtime(), b"a bundle").unwrap();
        assert!(embedded(&runtime()).unwrap_err().message().contains("no bundle is embedded"));
        assert!(embed(PREAMBLE, b"x").unwrap_err().message().contains("something else"));
        for cut in 0..wasm.len() {
            assert!(embedded(&wasm[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..wasm.len() {
            for bit in 0..8 {
                let mut bytes = wasm.clone();
                bytes[at] ^= 1 << bit;
                let _ = (embedded(&bytes), embed(&bytes, b"x"));
            }
        }
    }
}
