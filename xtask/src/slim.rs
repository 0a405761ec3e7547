//! Takes out of wasm-bindgen's glue what a page of ours never needs: a quarter of the JavaScript that a page loads was glue,
//! and a fifth of that is left.
//!
//! - Comments, and a class's ways to free itself: an instance holds one engine and goes with it, and a finaliser would call
//!   into an instance that has trapped.
//! - What undoes an argument when the next one cannot be passed: that happens only when the wasm's allocator traps, after
//!   which nothing of the instance is called again.
//! - Coercions of numbers: the face passes numbers, and the engine's own call coerces them again.
//! - The same lines for each argument that is copied, after each call that may fail, and for each array or text that comes
//!   back: `pass`, `check` and `take`.
//! - Views of the memory that are kept, and a text decoder that is renewed after 2 GiB: `HELPERS` make a view where one is
//!   needed, and a decoder for each text.

/// Functions that `HELPERS` stand for, by how their names begin and end.
const REPLACED: [(&str, &str); 8] = [
    ("passArray", "ToWasm0"),
    ("passString", "ToWasm0"),
    ("getArray", "FromWasm0"),
    ("getString", "FromWasm0"),
    ("get", "Memory0"),
    ("decodeText", ""),
    ("handleError", ""),
    ("isLikeNone", ""),
];

/// Single lines that only those functions need.
const LINES: [&str; 13] = [
    "let cached",
    "cached",
    "const MAX_SAFARI",
    "let numBytesDecoded",
    "const cachedText",
    "let WASM_VECTOR_LEN",
    "let ptr",
    "wasm.__wbindgen_free(ret[",
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
    return ret;
};
const view = (Type, ptr, length) => new Type(wasm.memory.buffer, ptr >>> 0, length);
const decode = (bytes) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
const getString = (ptr, length) => decode(view(Uint8Array, ptr, length));
const setInt32 = (ptr, at, value) => {
    view(Int32Array, ptr, 2)[at] = value;
};
const take = (Type, [ptr, length]) => {
    const copy = view(Type, ptr, length).slice();
    wasm.__wbindgen_free(ptr, copy.byteLength, Type.BYTES_PER_ELEMENT);
    return copy;
};
const encoder = new TextEncoder();
const pass = (value) => {
    if (value == null) return [0, 0];
    if (typeof value === 'string') {
        // Most are ASCII, which is written where it goes: `observe` calls for that.
        const size = value.length;
        const ptr = wasm.__wbindgen_malloc(size, 1);
        if (encoder.encodeInto(value, view(Uint8Array, ptr, size)).read === size) return [ptr, size];
        wasm.__wbindgen_free(ptr, size, 1);
        value = encoder.encode(value);
    }
    const { buffer, byteOffset, byteLength, length, BYTES_PER_ELEMENT } = value;
    const ptr = wasm.__wbindgen_malloc(byteLength, BYTES_PER_ELEMENT);
    view(Uint8Array, ptr, byteLength).set(new Uint8Array(buffer, byteOffset, byteLength));
    return [ptr, length];
};
const handled = (f) => (...args) => {
    try {
        return f(...args);
    } catch (e) {
        wasm.__wbindgen_exn_store(addToExternrefTable0(e));
    }
};
";

/// The glue without all that. Fails where the glue has a form that is not known: a new wasm-bindgen is looked at.
pub fn slim(glue: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut lines = glue.lines().peekable();
    let mut method = Method::default();
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
            method = Method::default();
        }
        if inner.starts_with("let deferred") {
            text.push_str(&method.text_returned(&mut lines)?);
            continue;
        }
        if inner.starts_with("if (ret[")
            && lines.peek().is_some_and(|next| next.trim_start().starts_with("throw takeFrom"))
        {
            text = checked(&text)?;
            skip(line, "        }", &mut lines)?;
            continue;
        }
        if method.takes(inner) {
            continue;
        }
        let lonely = LINES.iter().any(|start| inner.starts_with(start));
        if lonely || inner.contains("Finalization.") || inner.ends_with("this.__destroy_into_raw();") {
            continue;
        }
        text.push_str(&method.rewritten(line));
        text.push('\n');
    }
    if passing {
        return Err("arguments are passed in a way that is not known".into());
    }
    let known =
        ["Memory0", "ToWasm0", "FromWasm0", "cachedText", "Finalization", "__destroy", "WASM_VECTOR", "handleError"];
    if let Some(left) = known.iter().find(|left| text.contains(**left)) {
        return Err(format!("the glue still has `{left}`"));
    }
    // Before the first thing that is run.
    Ok(format!("{HELPERS}{text}"))
}

/// What is known of the method that is being read.
#[derive(Default)]
struct Method<'a> {
    /// Arguments that were given another name only to be numbers: that name and theirs.
    renamed: Vec<(&'a str, &'a str)>,
    /// Pairs of a pointer and a length, and what they are of.
    passed: Vec<(String, &'a str)>,
}

impl<'a> Method<'a> {
    /// Whether a line only makes an argument ready.
    fn takes(&mut self, line: &'a str) -> bool {
        if let Some(pair) = coerced(line) {
            self.renamed.push(pair);
            return true;
        }
        if line.ends_with(" = WASM_VECTOR_LEN;") {
            return true;
        }
        // Of an import, which is no method, the pointer is a `var`.
        let Some((pointer, of)) = passed(line.strip_prefix("const ").unwrap_or(line)) else { return false };
        self.passed.push((format!("ptr{pointer}, len{pointer}"), of));
        true
    }

    /// A line with calls of the helpers in place of those of what they stand for.
    fn rewritten(&self, line: &str) -> String {
        if let Some((pointer, of)) = line.trim_start().strip_prefix("var ").and_then(passed) {
            let indent = " ".repeat(line.len() - line.trim_start().len());
            return format!("{indent}const [ptr{pointer}, len{pointer}] = pass({of});");
        }
        let mut line = line
            .replace("getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * ", "setInt32(arg0, ")
            .replace("getDataViewMemory0()", "new DataView(wasm.memory.buffer)")
            .replace("getStringFromWasm0(", "getString(")
            .replace("_free(ptr, 0)", "_free(this.__wbg_ptr, 0)")
            .replace("function() { return handleError(function (", "handled((");
        if line.contains("handled((") {
            line = line.replace(") {", ") => {");
        }
        if line.contains("setInt32(arg0, ") {
            line = line.replace(", true);", ");");
        }
        line = line.replace("}, arguments); },", "}),");
        while let Some((before, rest)) = line.split_once("getArray") {
            let Some((kind, after)) = rest.split_once("FromWasm0(") else { break };
            let Some(array) = typed_array(kind) else { break };
            line = match after.strip_prefix("ret[0], ret[1]).slice()") {
                Some(after) => format!("{before}take({array}, ret){after}"),
                None => format!("{before}view({array}, {after}"),
            };
        }
        for (pair, of) in &self.passed {
            line = line.replace(pair.as_str(), &format!("...pass({of})"));
        }
        self.renamed.iter().fold(line, |line, (name, value)| word_replaced(&line, name, value))
    }

    /// A call that returns a text, up to where that is freed.
    fn text_returned(&self, lines: &mut impl Iterator<Item = &'a str>) -> Result<String, String> {
        let block: Vec<&str> = lines.take_while(|line| *line != "        }").collect();
        let call = block.iter().map(|line| line.trim_start()).find(|line| line.starts_with("const ret = wasm."));
        if !block.contains(&"        } finally {") {
            return Err("a text is not freed".into());
        }
        let mut text = format!("        {}\n", self.rewritten(call.ok_or("a text comes from no call")?));
        if block.iter().any(|line| line.contains("throw takeFrom")) {
            text = checked(&text)?;
        }
        Ok(text + "        return decode(take(Uint8Array, ret));\n")
    }
}

/// `text` with a check of what the call in its last line returns.
fn checked(text: &str) -> Result<String, String> {
    let (before, call) = text.rsplit_once("const ret = ").ok_or("what is checked comes from no call")?;
    let call = call.strip_suffix(";\n").filter(|call| !call.contains('\n')).ok_or("a check is not after its call")?;
    Ok(format!("{before}const ret = check({call});\n"))
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

/// `ptr0 = passStringToWasm0(text, ...);`, with or without a case for none, as the pair's number and what is passed.
fn passed(line: &str) -> Option<(&str, &str)> {
    let (pointer, value) = line.strip_prefix("ptr")?.split_once(" = ")?;
    let value = value.split_once(" ? 0 : ").map_or(value, |(_, value)| value);
    let (_, of) = value.strip_prefix("pass")?.split_once("ToWasm0(")?;
    Some((pointer, of.split_once(", ")?.0))
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
        wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
        return v6;
    }
    snapshot(session) {
        const val2 = +session;
        let deferred2_0;
        let deferred2_1;
        try {
            const ret = wasm.engine_snapshot(this.__wbg_ptr, val2);
            var ptr1 = ret[0];
            if (ret[3]) {
                ptr1 = 0;
                throw takeFromExternrefTable0(ret[2]);
            }
            deferred2_0 = ptr1;
            return getStringFromWasm0(ptr1, len1);
        } finally {
            wasm.__wbindgen_free(deferred2_0, deferred2_1, 1);
        }
    }
}
if (Symbol.dispose) Engine.prototype[Symbol.dispose] = Engine.prototype.free;
const EngineFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_engine_free(ptr, 1));
function __wbg_get_imports() {
    const import0 = {
        __proto__: null,
        __wbg_string_get: function(arg0, arg1) {
            var ptr1 = isLikeNone(ret) ? 0 : passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            var len1 = WASM_VECTOR_LEN;
            getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
        },
        __wbg_set: function() { return handleError(function (arg0, arg1) {
            return Reflect.get(arg0, arg1);
        }, arguments); },
    };
}
function handleError(f, args) {
    return f.apply(this, args);
}
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
        const ret = check(wasm.engine_append(this.__wbg_ptr, list, n, ...pass(columns), ...pass(pool)));
        var v6 = take(Float64Array, ret);
        return v6;
    }
    snapshot(session) {
        const ret = check(wasm.engine_snapshot(this.__wbg_ptr, session));
        return decode(take(Uint8Array, ret));
    }
}
function __wbg_get_imports() {
    const import0 = {
        __wbg_string_get: function(arg0, arg1) {
            const [ptr1, len1] = pass(ret);
            setInt32(arg0, 1, len1);
        },
        __wbg_set: handled((arg0, arg1) => {
            return Reflect.get(arg0, arg1);
        }),
    };
}
function __wbg_finalize_init(instance, module) {
    wasm = instance.exports;
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
