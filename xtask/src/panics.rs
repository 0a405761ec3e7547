//! Makes a panic a bare trap, and the formatting of text plain, before wasm-opt drops what only they needed.
//!
//! On this target a panic ends in `unreachable` and its message reaches nobody: there is no console to print it on. The code
//! that words messages, the text formatting it pulls in, and the places in source files that it names are some thousand
//! brotli bytes of a page's module.

use std::collections::BTreeMap;

use crate::module::{CODE, CUSTOM, DATA, END, I32_CONST, IMPORT, Reader, imported_functions, sections, write};

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

/// Parts of the mangled names of `Debug::fmt`, in both manglings and for `dyn Debug`. Only messages of panics use these
/// forms here: what a page words for people has `{}` alone. `PadAdapter` is what `{:#?}` writes through.
const DEBUG: [&str; 4] = ["5Debug3fmt", "5DebugEL_", "core..fmt..Debug$GT$3fmt", "10PadAdapter"];

/// No locals, `i32.const 0`, `end`: a `fmt` that writes nothing and succeeds.
const NOTHING: [u8; 4] = [0x00, 0x41, 0x00, 0x0b];

/// A function of the text formatter, by the end of its mangled name, and what stands in its body in place of what, once, at
/// the same length.
type Plain = (&'static str, &'static [u8], &'static [u8]);

/// What a page words has `{}` alone, so no text there has a width, a precision, a sign that is asked for, or a prefix: the
/// tests for them find none, and the padding and the counting of characters behind them go.
const PLAIN: [Plain; 4] = [
    // `i32.const` of the flags for a width or a precision: `i32.const 0`, and `nop`s.
    ("9Formatter3pad", b"\x41\x80\x80\x80\xc0\x01", b"\x41\0\x01\x01\x01\x01"),
    // The same of the flag for a sign, and of that for a prefix.
    ("9Formatter12pad_integral", b"\x41\x80\x80\x80\x01", b"\x41\0\x01\x01\x01"),
    ("9Formatter12pad_integral", b"\x41\x80\x80\x80\x04", b"\x41\0\x01\x01\x01"),
    // `i32.load16_u offset=12`, the width: `drop`, `i32.const 0`.
    ("9Formatter12pad_integral", b"\x2f\x01\x0c", b"\x1a\x41\0"),
];

/// What a failed `assert!` says begins so.
const ASSERTION: &[u8] = b"assertion failed: ";

/// What panics of the standard library say, whole: nothing else here says it.
///
/// A text with values in it goes as the compiler packs it: each part after its length, `\xc0` for a value, 0 at the end.
const WORDS: [&[u8]; 25] = [
    b"called `Option::unwrap()` on a `None` value",
    b"attempt to divide by zero",
    b"attempt to calculate the remainder with a divisor of zero",
    b"RefCell already mutably borrowed",
    b"RefCell already borrowed",
    b"capacity overflow",
    b"chunk size must be non-zero",
    b"dest is out of bounds",
    b"attempt to join into collection with len > usize::MAX",
    b"a formatting trait implementation returned an error when the underlying stream did not",
    b"Tried to shrink to a larger capacity",
    b"copy_from_slice: source slice length (",
    b") does not match destination slice length (",
    b"insertion index (is ",
    b") should be <= len (is ",
    b"removal index (is ",
    b") should be < len (is ",
    b"swap_remove index (is ",
    b"mid > len",
    b"\x16slice index starts at \xc0\x0d but ends at \xc0\0",
    b"\x20index out of bounds: the len is \xc0\x12 but the index is \xc0\0",
    b"\x12range start index \xc0\x22 out of range for slice of length \xc0\0",
    b"\x10range end index \xc0\x22 out of range for slice of length \xc0\0",
    b"\x10assertion `left \xc0\x17 right` failed\n  left: \xc0\x09\n right: \xc0\0",
    b"\x10assertion `left \xc0\x10 right` failed: \xc0\x09\n  left: \xc0\x09\n right: \xc0\0",
];

/// More of either than any source file has.
const LINES: u32 = 100_000;
const COLUMNS: u32 = 1_000;

/// The module with those bodies replaced, and the places and assertions in its data blank. It must still carry its name section.
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
    let is = |index: u32, parts: &[&str]| {
        names.get(&(index + imported)).is_some_and(|name| parts.iter().any(|part| name.contains(part)))
    };
    let body = |index: u32, body: &[u8]| -> Result<Option<Vec<u8>>, String> {
        if is(index, &DIVERGING) {
            return Ok(Some(TRAP.to_vec()));
        }
        if is(index, &DEBUG) {
            return Ok(Some(NOTHING.to_vec()));
        }
        let named = |end: &str| names.get(&(index + imported)).is_some_and(|name| name.ends_with(end));
        let plain: Vec<Plain> = PLAIN.into_iter().filter(|(end, ..)| named(end)).collect();
        if plain.is_empty() { Ok(None) } else { plainly(body, &plain).map(Some) }
    };
    let code = sections.iter().find(|(id, _)| *id == CODE).map_or(&[][..], |(_, content)| content);
    let texts = constant_pairs(code);
    let mut out = module[..8].to_vec();
    let mut silenced = 0;
    for (id, content) in sections {
        let replaced;
        let content = match id {
            CODE => {
                (replaced, silenced) = replace_bodies(content, body)?;
                &replaced
            }
            DATA => {
                replaced = without_places(content, &texts)?;
                &replaced
            }
            _ => content,
        };
        out.push(id);
        write(&mut out, content.len() as u32);
        out.extend_from_slice(content);
    }
    if silenced == 0 {
        return Err("no function that panics is named as it used to be".into());
    }
    Ok(out)
}

fn replace_bodies(
    content: &[u8],
    other: impl Fn(u32, &[u8]) -> Result<Option<Vec<u8>>, String>,
) -> Result<(Vec<u8>, usize), String> {
    let mut reader = Reader(content);
    let count = reader.number()?;
    let mut out = Vec::with_capacity(content.len());
    let mut silenced = 0;
    write(&mut out, count);
    for index in 0..count {
        let body = reader.sized()?;
        let other = other(index, body)?;
        silenced += usize::from(other.as_deref() == Some(&TRAP));
        let body = other.as_deref().unwrap_or(body);
        write(&mut out, body.len() as u32);
        out.extend_from_slice(body);
    }
    Ok((out, silenced))
}

/// A body of the formatter with the tests for what no text has always failing.
fn plainly(body: &[u8], plain: &[Plain]) -> Result<Vec<u8>, String> {
    let mut out = body.to_vec();
    for (name, from, to) in plain {
        let mut at = body.windows(from.len()).enumerate().filter(|(_, here)| here == from).map(|(at, _)| at);
        let (Some(at), None) = (at.next(), at.next()) else {
            return Err(format!("`{name}` does not ask once for what no text has"));
        };
        out[at..at + from.len()].copy_from_slice(to);
    }
    Ok(out)
}

/// The data section with every `core::panic::Location`, the file name it points to, and every assertion's text as zeros:
/// brotli, and wasm-opt where a run of them is long, make nothing of those.
fn without_places(content: &[u8], texts: &[(u32, u32)]) -> Result<Vec<u8>, String> {
    let mut out = content.to_vec();
    let mut reader = Reader(content);
    for _ in 0..reader.number()? {
        // An active segment of the one memory, at a constant; rustc writes no others without threads.
        if (reader.byte()?, reader.byte()?) != (0, I32_CONST) {
            return Err("a data segment is not active".into());
        }
        let start = reader.number()?;
        if reader.byte()? != END {
            return Err("a data segment lies at no constant".into());
        }
        let segment = reader.sized()?;
        let at = content.len() - reader.0.len() - segment.len();
        let silent = places(segment, start).into_iter().chain(assertions(segment, start, texts)).chain(words(segment));
        for (from, length) in silent {
            out[at + from..at + from + length].fill(0);
        }
    }
    Ok(out)
}

/// Where in a segment that is loaded at `start` there are locations and their file names, and how long each is.
///
/// A location is four words: the name's address, its length with a closing NUL, line and column.
fn places(segment: &[u8], start: u32) -> Vec<(usize, usize)> {
    const LOCATION: usize = 16;
    let mut found = Vec::new();
    let aligned = start.next_multiple_of(4).abs_diff(start) as usize;
    for at in (aligned..segment.len().saturating_sub(LOCATION - 1)).step_by(4) {
        let word = |index: usize| {
            let bytes = segment[at + 4 * index..][..4].try_into().unwrap_or_default();
            u32::from_le_bytes(bytes)
        };
        let Some(from) = word(0).checked_sub(start).map(|from| from as usize) else { continue };
        let length = word(1) as usize;
        let name = segment.get(from..).and_then(|rest| rest.get(..length)).unwrap_or_default();
        if is_source(name) && (1..=LINES).contains(&word(2)) && (1..=COLUMNS).contains(&word(3)) {
            found.extend([(at, LOCATION), (from, length)]);
        }
    }
    found
}

/// Where in a segment that is loaded at `start` there are texts of failed assertions, and how long each is: that stands in
/// the code alone, which hands a panic a text's address and length one after the other.
fn assertions(segment: &[u8], start: u32, texts: &[(u32, u32)]) -> Vec<(usize, usize)> {
    let mut found = BTreeMap::new();
    for &(address, length) in texts {
        let Some(from) = address.checked_sub(start).map(|from| from as usize) else { continue };
        let text = segment.get(from..).and_then(|rest| rest.get(..length as usize)).unwrap_or_default();
        if text.starts_with(ASSERTION) && text.iter().all(|b| matches!(b, b'\n' | b' '..=b'~')) {
            // Of two lengths the longer one would be a chance meeting of bytes.
            let shortest = found.entry(from).or_insert(text.len());
            *shortest = text.len().min(*shortest);
        }
    }
    found.into_iter().collect()
}

/// Where in a segment there are [`WORDS`], and how long each is.
fn words(segment: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for words in WORDS {
        let at = segment.windows(words.len()).enumerate().filter(|(_, here)| *here == words);
        found.extend(at.map(|(at, _)| (at, words.len())));
    }
    found
}

/// Every two constants of the code, one right after the other: among them each text that is handed to a function. Others
/// that only look so are no matter.
fn constant_pairs(code: &[u8]) -> Vec<(u32, u32)> {
    let constant = |at: usize| {
        let mut reader = Reader(code.get(at..)?);
        (reader.byte() == Ok(I32_CONST))
            .then(|| reader.number().ok())?
            .map(|number| (number, code.len() - reader.0.len()))
    };
    let pair = |at: usize| {
        let (first, next) = constant(at)?;
        Some((first, constant(next)?.0))
    };
    (0..code.len()).filter_map(pair).collect()
}

/// Whether these bytes are the path of a Rust source.
fn is_source(name: &[u8]) -> bool {
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    name.ends_with(b".rs") && name.iter().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(b))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// At address 1024: a file name, padding, its location (line 258, column 9), and a word of no concern.
    const DATA_BEFORE: [u8; 36] = *b"src/a.rs\0\0\0\0\x00\x04\0\0\x09\0\0\0\x02\x01\0\0\x09\0\0\0src/b.rs";

    fn section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
        out.push(id);
        write(out, content.len() as u32);
        out.extend_from_slice(content);
    }

    /// One import, two functions with the bodies `nop` and `nop nop`, the names given, a text and a location.
    fn module(names: [&str; 2]) -> Vec<u8> {
        let mut out = b"\0asm\x01\0\0\0".to_vec();
        section(&mut out, 1, b"\x01\x60\0\0");
        section(&mut out, IMPORT, b"\x01\x01m\x01f\0\0");
        section(&mut out, 3, b"\x02\0\0");
        section(&mut out, CODE, b"\x02\x03\0\x01\x0b\x04\0\x01\x01\x0b");
        section(&mut out, DATA, &[b"\x01\0\x41\x80\x08\x0b\x24", &DATA_BEFORE[..]].concat());
        let mut functions = vec![2];
        for (index, name) in names.iter().enumerate() {
            functions.push(index as u8 + 1);
            write(&mut functions, name.len() as u32);
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
    fn a_debug_form_writes_nothing() {
        for name in ["_RNvXs1g_4core3fmtRjNtB6_5Debug3fmtB8_", "_RNvXs1g_4core3fmtRDNtB6_5DebugEL_Bx_3fmtB8_"] {
            let after = silence(&module(["_RNvNtNtCs_4core9panicking5panic", name])).unwrap();
            let code = sections(&after).unwrap().into_iter().find(|(id, _)| *id == CODE).unwrap().1;
            assert_eq!(code, b"\x02\x03\0\0\x0b\x04\0\x41\0\x0b");
        }
    }

    #[test]
    fn what_a_formatter_asks_once_is_answered() {
        let body = b"\0\x20\0\x41\x80\x80\x80\xc0\x01\x71\x0b";
        assert_eq!(plainly(body, &PLAIN[..1]).unwrap(), b"\0\x20\0\x41\0\x01\x01\x01\x01\x71\x0b");
        assert!(plainly(body, &PLAIN[1..2]).unwrap_err().contains("pad_integral"));
        assert!(plainly(&[&body[..], &body[..]].concat(), &PLAIN[..1]).unwrap_err().contains("once"));
        assert!(PLAIN.iter().all(|(_, from, to)| from.len() == to.len()));
    }

    /// Whether a format string asks for more than `{}`: `{x:e}`, `{:04}`, `{:?}`.
    fn asks_for_a_form(line: &str) -> bool {
        line.split('{').skip(1).any(|rest| {
            let Some((name, form)) = rest.split_once('}').and_then(|(inside, _)| inside.split_once(':')) else {
                return false;
            };
            let part = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
            name.chars().all(part) && !form.is_empty() && form.chars().all(|c| part(c) || "<>^+-#?$*".contains(c))
        })
    }

    /// `PLAIN` and `DEBUG` take away what would answer: the text would come out without its form, and nobody would see.
    #[test]
    fn what_a_page_words_has_no_form() {
        assert!(["{x:e}", "{:04}", "{}{:?}", "{0:>9.3}"].into_iter().all(asks_for_a_form));
        assert!(!["{}", "{name}", "{{", "Some { a: b }", "{ a: 1 }", "{a}:{b}"].into_iter().any(asks_for_a_form));
        // What a page never has, by the features of Cargo.toml.
        let absent = ["bin", "compile", "evaluate", "signing", "compiler.rs"];
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../src")];
        let mut asking = Vec::new();
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
                let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
                if absent.contains(&name.as_str()) || name.contains("tests") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                files += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                // Tests are at the end of a file.
                let shipped = text.split("#[cfg(test)]").next().unwrap();
                let lines = shipped.lines().filter(|line| !line.trim_start().starts_with("//"));
                asking
                    .extend(lines.filter(|line| asks_for_a_form(line)).map(|line| format!("{name}: {}", line.trim())));
            }
        }
        assert!(files > 50, "{files} files");
        // json.rs writes manifests, with the feature `compile`.
        assert_eq!(asking.iter().filter(|line| !line.starts_with("json.rs: ")).count(), 0, "{asking:#?}");
        assert_eq!(asking.len(), 2, "{asking:#?}");
    }

    #[test]
    fn locations_and_their_file_names_are_blank_and_nothing_else_is() {
        let after = silence(&module(["_RNvNtNtCs_4core9panicking5panic", "b"])).unwrap();
        let data = sections(&after).unwrap().into_iter().find(|(id, _)| *id == DATA).unwrap().1;
        assert_eq!(&data[data.len() - 8..], b"src/b.rs");
        assert_eq!(data[data.len() - 36..data.len() - 8], [0; 28]);
        // A line that no file has: these four words are something else.
        let mut other = DATA_BEFORE;
        other[23] = 1;
        assert!(places(&other, 1024).is_empty());
        assert_eq!(places(&DATA_BEFORE, 1024), [(12, 16), (0, 9)]);
        assert!(places(&DATA_BEFORE, 2048).is_empty() && places(&DATA_BEFORE, 0).is_empty());
    }

    #[test]
    fn assertions_are_blank_as_far_as_the_code_says() {
        let data = b"..assertion failed: a < bassertion failed: a < b, and more";
        // `local.get`, then address 1026 and length 23; a chance pair; the second text, with its address in five bytes.
        let code = b"\x20\x00\x41\x82\x08\x41\x17\x10\x05\x41\x41\x41\x99\x88\x80\x80\x00\x41\x17";
        let texts = constant_pairs(code);
        assert!(texts.contains(&(1026, 23)) && texts.contains(&(1049, 23)), "{texts:?}");
        assert_eq!(assertions(data, 1024, &texts), [(2, 23), (25, 23)]);
        assert_eq!(assertions(data, 1024, &[(1026, 30), (1026, 23), (1026, 99), (1027, 20), (9, 9)]), [(2, 23)]);
        assert!(assertions(data, 0, &texts).is_empty());
    }

    #[test]
    fn words_of_the_standard_library_are_blank_wherever_they_stand() {
        assert_eq!(words(b"a;RefCell already borrowed;capacity overflow"), [(2, 24), (27, 17)]);
        assert!(words(b"RefCell already borrowe").is_empty());
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
