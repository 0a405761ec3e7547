//! Takes out of wasm-bindgen's glue what a page of ours never needs: a quarter of the JavaScript that a page loads was glue,
//! and a third of that is left.
//!
//! - Comments, and a class's ways to free itself: an instance holds one engine and goes with it, and a finaliser would call
//!   into an instance that has trapped.
//! - What undoes an argument when the next one cannot be passed: that happens only when the wasm's allocator traps, after
//!   which nothing of the instance is called again.
//! - Coercions of numbers: the face passes numbers, and the engine's own call coerces them again.
//! - The same three lines after each call that may fail: `check`.
//! - Views of the memory that are kept, a copy of a text that is guessed to be ASCII, and a text decoder that is renewed after
//!   2 GiB: `HELPERS` make a view where one is needed, and a decoder for each text.

/// Functions that `HELPERS` stand for, by how their names begin and end.
const REPLACED: [(&str, &str); 7] = [
    ("passArray", "ToWasm0"),
    ("passString", "ToWasm0"),
    ("getArray", "FromWasm0"),
    ("getString", "FromWasm0"),
    ("get", "Memory0"),
    ("decodeText", ""),
    ("isLikeNone", ""),
];

/// Single lines at the top or in `__wbg_finalize_init` that only those functions need.
const LINES: [&str; 10] = [
    "let cached",
    "cached",
    "const MAX_SAFARI",
    "let numBytesDecoded",
    "const cachedText",
    "if (Symbol.dispose)",
    "wasmInstance = ",
    "wasmModule = ",
    "/* @ts",
    "__proto__: null,",
];

const HELPERS: &str = "\
const isLikeNone = (x) => x == null;
// What a call that may fail returns ends with an error and whether it is one.
const check = (ret) => {
    if (ret.pop()) throw takeFromExternrefTable0(ret.pop());
};
const view = (Type, ptr, length) => new Type(wasm.memory.buffer, ptr >>> 0, length);
const getString = (ptr, length) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(view(Uint8Array, ptr, length));
const passArray = ({ buffer, byteOffset, byteLength, length, BYTES_PER_ELEMENT }) => {
    const ptr = wasm.__wbindgen_malloc(byteLength, BYTES_PER_ELEMENT);
    view(Uint8Array, ptr, byteLength).set(new Uint8Array(buffer, byteOffset, byteLength));
    WASM_VECTOR_LEN = length;
    return ptr;
};
const passString = (text) => {
    // A UTF-16 unit is three bytes at most.
    const most = text.length * 3;
    const ptr = wasm.__wbindgen_malloc(most, 1);
    WASM_VECTOR_LEN = new TextEncoder().encodeInto(text, view(Uint8Array, ptr, most)).written;
    return WASM_VECTOR_LEN < most ? wasm.__wbindgen_realloc(ptr, most, WASM_VECTOR_LEN, 1) : ptr;
};
";

/// The glue without all that. Fails where the glue has a form that is not known: a new wasm-bindgen is looked at.
pub fn slim(glue: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut lines = glue.lines().peekable();
    // Arguments that were given another name only to be numbers, of the method that is being read.
    let mut renamed: Vec<(&str, &str)> = Vec::new();
    let mut passing = false;
    while let Some(line) = lines.next() {
        let inner = line.trim_start();
        let end = match () {
            () if inner.starts_with("/**") => Some("*/"),
            () if function_name(line).is_some_and(is_replaced) => Some("}"),
            () if line.starts_with("if (!('encodeInto' in") => Some("}"),
            () if inner.starts_with("__destroy_into_raw()") => Some("    }"),
            () if line.starts_with("const") && inner.contains("Finalization = ") => Some(";"),
            () if passing && inner == "} catch (e) {" => Some("throw e;"),
            () => None,
        };
        if let Some(end) = end {
            skip(line, end, &mut lines)?;
            if end == "throw e;" && lines.next() != Some("        }") {
                return Err("an undoing of arguments has no end".into());
            }
            passing = false;
            continue;
        }
        if inner == "try {" && lines.peek().is_some_and(|next| next.trim_start().starts_with("ptr")) {
            passing = true;
            continue;
        }
        if line.starts_with("    }") {
            renamed.clear();
        }
        if inner.starts_with("if (ret[")
            && lines.peek().is_some_and(|next| next.trim_start().starts_with("throw takeFrom"))
        {
            text.push_str("        check(ret);\n");
            skip(line, "        }", &mut lines)?;
            continue;
        }
        if let Some(pair) = coerced(inner) {
            renamed.push(pair);
            continue;
        }
        let lonely = LINES.iter().any(|start| inner.starts_with(start));
        if lonely || inner.contains("Finalization.") || inner.ends_with("this.__destroy_into_raw();") {
            continue;
        }
        text.push_str(&rewritten(line, &renamed));
        text.push('\n');
    }
    if passing {
        return Err("arguments are passed in a way that is not known".into());
    }
    if let Some(left) = ["Memory0", "ToWasm0(", "FromWasm0", "cachedText", "Finalization", "__destroy"]
        .iter()
        .find(|left| text.contains(**left))
    {
        return Err(format!("the glue still has `{left}`"));
    }
    // Before the first thing that is run.
    Ok(format!("{HELPERS}{text}"))
}

/// Passes over lines up to one that is, or ends with, `end`; `first` may be it already.
fn skip<'a>(first: &str, end: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<(), String> {
    let last = |line: &str| if end.trim() == "}" { line == end } else { line.ends_with(end) };
    if last(first) || lines.any(last) { Ok(()) } else { Err(format!("`{}` has no end", first.trim())) }
}

fn is_replaced(name: &str) -> bool {
    REPLACED.iter().any(|(start, end)| name.starts_with(start) && name.ends_with(end))
}

fn function_name(line: &str) -> Option<&str> {
    line.strip_prefix("function ")?.split('(').next()
}

/// `const val4 = +list;` as its two names.
fn coerced(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix("const ")?.strip_suffix(';')?.split_once(" = +")?;
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (name.starts_with("val") && plain).then_some((name, value))
}

/// A line with calls of the helpers in place of those of what they stand for.
fn rewritten(line: &str, renamed: &[(&str, &str)]) -> String {
    let mut line = line
        .replace(", wasm.__wbindgen_malloc, wasm.__wbindgen_realloc)", ")")
        .replace(", wasm.__wbindgen_malloc)", ")")
        .replace("getDataViewMemory0()", "new DataView(wasm.memory.buffer)")
        .replace("passStringToWasm0(", "passString(")
        .replace("getStringFromWasm0(", "getString(")
        .replace("_free(ptr, 0)", "_free(this.__wbg_ptr, 0)");
    while let Some((before, rest)) = line.split_once("passArray") {
        let Some((kind, after)) = rest.split_once("ToWasm0(") else { break };
        if kind.contains('(') {
            break;
        }
        line = format!("{before}passArray({after}");
    }
    while let Some((before, rest)) = line.split_once("getArray") {
        let Some((kind, after)) = rest.split_once("FromWasm0(") else { break };
        let Some(array) = typed_array(kind) else { break };
        line = format!("{before}view({array}, {after}");
    }
    renamed.iter().fold(line, |line, (name, value)| word_replaced(&line, name, value))
}

fn typed_array(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "F32" => "Float32Array",
        "F64" => "Float64Array",
        "I32" => "Int32Array",
        "I64" => "BigInt64Array",
        "U8" => "Uint8Array",
        "U32" => "Uint32Array",
        _ => return None,
    })
}

/// `name` where it stands as a word of its own.
fn word_replaced(line: &str, name: &str, value: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(name) {
        let after = &rest[at + name.len()..];
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let alone = !rest[..at].ends_with(word) && !after.starts_with(word);
        text.push_str(&rest[..at]);
        text.push_str(if alone { value } else { name });
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms of wasm-bindgen 0.2.130.
    const GLUE: &str = r#"
export class Engine {
    __destroy_into_raw() {
        const ptr = this.__wbg_ptr;
        this.__wbg_ptr = 0;
        EngineFinalization.unregister(this);
        return ptr;
    }
    free() {
        const ptr = this.__destroy_into_raw();
        wasm.__wbg_engine_free(ptr, 0);
    }
    /**
     * Adds more.
     */
    append(list, n, columns, pool) {
        const val4 = +list;
        const val5 = +n;
        let ptr0, len0, ptr1, len1;
        try {
            ptr0 = passArrayF64ToWasm0(columns, wasm.__wbindgen_malloc);
            len0 = WASM_VECTOR_LEN;
            ptr1 = isLikeNone(pool) ? 0 : passStringToWasm0(pool, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            len1 = WASM_VECTOR_LEN;
        } catch (e) {
            if (ptr1) { wasm.__wbindgen_free(ptr1, len1 * 1, 1); }
            throw e;
        }
        const ret = wasm.engine_append(this.__wbg_ptr, val4, val5, ptr0, len0, ptr1, len1);
        if (ret[3]) {
            throw takeFromExternrefTable0(ret[2]);
        }
        var v6 = getArrayF64FromWasm0(ret[0], ret[1]).slice();
    }
}
if (Symbol.dispose) Engine.prototype[Symbol.dispose] = Engine.prototype.free;
const EngineFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_engine_free(ptr, 1));
function getArrayF64FromWasm0(ptr, len) {
    return getFloat64ArrayMemory0().subarray(ptr / 8, ptr / 8 + len);
}
let cachedDataViewMemory0 = null;
function getDataViewMemory0() {
    return cachedDataViewMemory0;
}
if (!('encodeInto' in cachedTextEncoder)) {
    cachedTextEncoder.encodeInto = 1;
}
function __wbg_finalize_init(instance, module) {
    wasm = instance.exports;
    cachedDataViewMemory0 = null;
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    return wasm;
}
"#;

    #[test]
    fn what_is_left_does_what_is_needed() {
        let slimmed = slim(GLUE).unwrap();
        assert_eq!(
            slimmed.strip_prefix(HELPERS).unwrap().trim(),
            "export class Engine {
    free() {
        wasm.__wbg_engine_free(this.__wbg_ptr, 0);
    }
    append(list, n, columns, pool) {
        let ptr0, len0, ptr1, len1;
            ptr0 = passArray(columns);
            len0 = WASM_VECTOR_LEN;
            ptr1 = isLikeNone(pool) ? 0 : passString(pool);
            len1 = WASM_VECTOR_LEN;
        const ret = wasm.engine_append(this.__wbg_ptr, list, n, ptr0, len0, ptr1, len1);
        check(ret);
        var v6 = view(Float64Array, ret[0], ret[1]).slice();
    }
}
function __wbg_finalize_init(instance, module) {
    wasm = instance.exports;
    new DataView(wasm.memory.buffer).setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    return wasm;
}"
        );
    }

    #[test]
    fn a_form_that_is_not_known_is_refused() {
        let refused = |from: &str, to: &str| slim(&GLUE.replacen(from, to, 1)).unwrap_err();
        assert!(refused("getArrayF64FromWasm0(ret", "getArrayF16FromWasm0(ret").contains("FromWasm0"));
        assert!(refused("            throw e;\n        }", "            throw e;\n       }").contains("no end"));
        assert!(refused("wasm = instance", "wasm = cachedTextCoder").contains("cachedText"));
    }
}
