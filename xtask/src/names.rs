//! Short names for what a module and its glue say to each other: nobody else reads them, and a page pays for them twice.
//!
//! The engine's own exports keep theirs: `ranklet embed` and tests look for them.

use crate::module::{EXPORT, IMPORT, Reader, sections, write};

/// What generated names begin with; no other name of a module or of its glue does.
const GENERATED: &str = "__";

/// The module and its glue, wrapped, with names of a letter; the glue's imports come from one module.
pub fn shorten(module: &[u8], script: &str) -> Result<(Vec<u8>, String), String> {
    let mut out = module[..8].to_vec();
    let mut script = script.to_owned();
    for (id, content) in sections(module)? {
        let mut made = Vec::new();
        match id {
            IMPORT => imports(content, &mut made, &mut script)?,
            EXPORT => exports(content, &mut made, &mut script)?,
            _ => made.extend_from_slice(content),
        }
        out.push(id);
        write(&mut out, made.len() as u32);
        out.append(&mut made);
    }
    Ok((out, script))
}

fn imports(content: &[u8], out: &mut Vec<u8>, script: &mut String) -> Result<(), String> {
    let mut reader = Reader(content);
    let count = reader.number()?;
    write(out, count);
    let mut from = None;
    for at in 0..count {
        let (module, name) = (reader.sized()?, reader.sized()?);
        if *from.get_or_insert(module) != module {
            return Err("the imports come from more than one module".into());
        }
        if reader.byte()? != 0 {
            return Err("the module imports more than functions".into());
        }
        named(out, "a");
        named(out, &given(name, at, script)?);
        out.push(0);
        write(out, reader.number()?);
    }
    let from = format!("\"{}\":", text(from.unwrap_or_default())?);
    if script.matches(&from).count() != 1 {
        return Err(format!("the glue gives {from} not once"));
    }
    *script = script.replace(&from, "a:");
    Ok(())
}

fn exports(content: &[u8], out: &mut Vec<u8>, script: &mut String) -> Result<(), String> {
    let mut reader = Reader(content);
    let count = reader.number()?;
    write(out, count);
    for at in 0..count {
        let name = reader.sized()?;
        named(out, &given(name, at, script)?);
        out.push(reader.byte()?);
        write(out, reader.number()?);
    }
    Ok(())
}

/// The new name of what had `name`, in the glue too.
fn given(name: &[u8], at: u32, script: &mut String) -> Result<String, String> {
    let name = text(name)?;
    if !name.starts_with(GENERATED) {
        return Ok(name.to_owned());
    }
    let short = match char::from_digit(at + 10, 36) {
        Some(letter) => letter.to_string(),
        None => format!("n{at}"),
    };
    let mut replaced = String::new();
    let mut rest = script.as_str();
    while let Some((before, after)) = rest.split_once(name) {
        replaced.push_str(before);
        // The beginning of a longer name stays.
        replaced.push_str(if after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            name
        } else {
            &short
        });
        rest = after;
    }
    *script = replaced + rest;
    Ok(short)
}

fn text(name: &[u8]) -> Result<&str, String> {
    str::from_utf8(name).map_err(|_| "a name is no text".into())
}

fn named(out: &mut Vec<u8>, name: &str) {
    write(out, name.len() as u32);
    out.extend_from_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(imports: &[u8], exports: &[u8]) -> Vec<u8> {
        let mut out = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in [(IMPORT, imports), (EXPORT, exports)] {
            out.push(id);
            write(&mut out, content.len() as u32);
            out.extend_from_slice(content);
        }
        out
    }

    const IMPORTS: &[u8] = b"\x02\x04./bg\x05__get\0\x01\x04./bg\x09__get_set\0\x02";
    const EXPORTS: &[u8] = b"\x03\x06memory\x02\0\x0aengine_new\0\x02\x08__malloc\0\x03";

    #[test]
    fn both_sides_have_the_new_names() {
        let script =
            "f = { \"./bg\": { __get: g, __get_set: s } }; wasm.__malloc(wasm.memory, wasm.engine_new, x.__get_it);";
        let (short, script) = shorten(&module(IMPORTS, EXPORTS), script).unwrap();
        assert_eq!(script, "f = { a: { a: g, b: s } }; wasm.c(wasm.memory, wasm.engine_new, x.__get_it);");
        let expected =
            module(b"\x02\x01a\x01a\0\x01\x01a\x01b\0\x02", b"\x03\x06memory\x02\0\x0aengine_new\0\x02\x01c\0\x03");
        assert_eq!(short, expected);
    }

    #[test]
    fn another_form_is_refused() {
        let refused = |imports: &[u8], script: &str| shorten(&module(imports, EXPORTS), script).unwrap_err();
        assert!(refused(IMPORTS, "nothing").contains("./bg"));
        assert!(refused(b"\x02\x01m\x01f\0\x01\x01n\x01f\0\x01", "").contains("more than one"));
        assert!(refused(b"\x01\x01m\x01f\x02\0\x01", "").contains("functions"));
    }
}
