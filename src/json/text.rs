//! JSON text to values: RFC 8259, and of what it leaves open the choices of serde_json, which the tests hold it to.
//!
//! serde_json's own parser is generic over readers and visitors and keeps a table of powers of ten; this one is a third
//! of its bytes in a page, and reads every number exactly where that one, without a further 9 KB, does not.

use super::decimal;
use serde_json::{Map, Number, Value};

/// How deep lists and objects may lie in each other.
const DEPTH: usize = 127;

/// Parses a text.
///
/// # Errors
/// What was expected, and where: `a value was expected at line 2 column 7`.
#[inline(never)]
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { text: text.as_bytes(), at: 0 };
    let value = parser.value(DEPTH).map_err(|what| parser.place(what))?;
    parser.next();
    if parser.at < text.len() { Err(parser.place("the end")) } else { Ok(value) }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

/// What was expected.
type Parsed<T> = Result<T, &'static str>;

impl Parser<'_> {
    #[inline(never)]
    fn place(&self, what: &str) -> String {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
        format!("{what} was expected at line {line} column {column}")
    }

    /// The byte here; 0 at the end.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// The same behind white space.
    #[inline(never)]
    fn next(&mut self) -> u8 {
        while let b' ' | b'\n' | b'\t' | b'\r' = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    #[inline(never)]
    fn word(&mut self, word: &str, value: Value) -> Parsed<Value> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err("a value");
        }
        self.at += word.len();
        Ok(value)
    }

    #[inline(never)]
    fn value(&mut self, depth: usize) -> Parsed<Value> {
        match self.next() {
            b'"' => self.string().map(Value::String),
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            _ => self.number().map(Value::Number),
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<Value> {
        let mut entries = Map::new();
        let depth = self.enter(depth)?;
        if self.next() == b'}' {
            self.at += 1;
            return Ok(Value::Object(entries));
        }
        loop {
            if self.next() != b'"' {
                return Err("a key");
            }
            let key = self.string()?;
            if self.next() != b':' {
                return Err("`:`");
            }
            self.at += 1;
            entries.insert(key, self.value(depth)?);
            if self.ends(b'}')? {
                return Ok(Value::Object(entries));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Parsed<Value> {
        let mut items = Vec::new();
        let depth = self.enter(depth)?;
        if self.next() == b']' {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.ends(b']')? {
                return Ok(Value::Array(items));
            }
        }
    }

    fn enter(&mut self, depth: usize) -> Parsed<usize> {
        self.at += 1;
        depth.checked_sub(1).ok_or("less depth")
    }

    /// Whether `end` stands here, or a comma.
    #[inline(never)]
    fn ends(&mut self, end: u8) -> Parsed<bool> {
        let byte = self.next();
        if byte != end && byte != b',' {
            return Err("`,` or the end");
        }
        self.at += 1;
        Ok(byte == end)
    }

    #[inline(never)]
    fn string(&mut self) -> Parsed<String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            // What stands for itself is copied in one piece.
            let rest = &self.text[self.at..];
            let plain = rest.iter().take_while(|&&byte| byte >= b' ' && byte != b'"' && byte != b'\\').count();
            bytes.extend_from_slice(&rest[..plain]);
            self.at += plain;
            let byte = self.peek();
            if byte < b' ' {
                return Err("a character");
            }
            self.at += 1;
            if byte == b'"' {
                break;
            }
            match self.escape()? {
                // A manifest is a text of its own in its file, with thousands of these.
                c if c.is_ascii() => bytes.push(c as u8),
                c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        // Whole characters of a text, and characters.
        String::from_utf8(bytes).map_err(|_| "UTF-8")
    }

    fn escape(&mut self) -> Parsed<char> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code) && self.take(b'\\') && self.take(b'u') {
                    let low = self.hex()?.wrapping_sub(0xdc00);
                    // A half without its other half stays one, and is no character.
                    code = if low < 0x400 { 0x1_0000 + ((code - 0xd800) << 10 | low) } else { code };
                }
                char::from_u32(code).ok_or("a whole character")?
            }
            _ => return Err("an escape"),
        })
    }

    fn hex(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()).to_digit(16).ok_or("a hexadecimal digit")?;
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    #[inline(never)]
    fn number(&mut self) -> Parsed<Number> {
        let minus = self.take(b'-');
        let start = self.at;
        if !self.peek().is_ascii_digit() {
            return Err(if minus { "a digit" } else { "a value" });
        }
        if !self.take(b'0') {
            self.digits();
        }
        let whole = self.at;
        if self.take(b'.') && self.digits() == 0 {
            return Err("a digit");
        }
        let digits = self.at;
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                return Err("a digit");
            }
        }
        let text = &self.text[start..self.at];
        if self.at == whole
            && let Some(number) = integer(text, minus)
        {
            return Ok(number);
        }
        let size = decimal::nearest(&text[..digits - start], &text[digits - start..]);
        Number::from_f64(if minus { -size } else { size }).ok_or("a smaller number")
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }
}

/// A whole number of 64 bits. `-0` is a float: no integer has its sign.
fn integer(digits: &[u8], minus: bool) -> Option<Number> {
    let mut size = 0u64;
    for digit in digits {
        // Not `checked_mul`: a page has no product of 128 bits, and calls a function for it at every digit.
        if size > u64::MAX / 10 {
            return None;
        }
        size = (size * 10).checked_add(u64::from(digit - b'0'))?;
    }
    match minus {
        false => Some(Number::from(size)),
        true if size == 0 || size > 1 << 63 => None,
        true => Some(Number::from((size as i64).wrapping_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees(text: &str) {
        let peer = serde_json::from_str::<Value>(text);
        match (parse(text), peer) {
            // Compared as texts: a float is itself to the last bit, -0 is not 0.
            (Ok(own), Ok(peer)) => assert_eq!(own.to_string(), peer.to_string(), "{text:?}"),
            (own, peer) => assert_eq!(own.is_ok(), peer.is_ok(), "{text:?}: {own:?}, {peer:?}"),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_the_peer_writes(value in json()) {
            let text = value.to_string();
            prop_assert_eq!(parse(&text).unwrap().to_string(), text);
            agrees(&serde_json::to_string_pretty(&value).unwrap());
        }

        #[test]
        fn takes_and_refuses_what_the_peer_does(text in r#"([\[\]{},:"\\ntfbu0-9eE.+\- ]|true|null|\\u[dD][89abcdf]00|"a":|é|\n){0,12}"#) {
            agrees(&text);
        }

        #[test]
        fn a_hurt_text_is_taken_or_refused_as_by_the_peer(value in json(), at in any::<prop::sample::Index>(), with in 0u8..128) {
            let mut bytes = value.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = with;
            if let Ok(text) = String::from_utf8(bytes) {
                agrees(&text);
            }
        }
    }

    #[test]
    fn edges_are_the_peer_s() {
        for text in [
            "",
            " ",
            "\0",
            "1\0",
            "[]\0",
            "-",
            "-0",
            "-0.0",
            "0",
            "00",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1E-2",
            "1e999",
            "-1e999",
            "1e-999",
            "0e999999999999999999999",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "nul",
            "nulll",
            "tru",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":1,\"a\":2}",
            "\"\\u00e9\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\ud83d\\n\"",
            "\"\\ud83d\\u0041\"",
            "\"\\ud83d\\ud83d\"",
            "\"\\ud83d\\uffff\"",
            "\"\\ude00\"",
            "\"\\u00g0\"",
            "\"\\x\"",
            "\"a\nb\"",
            "\"é\u{7f}\"",
            "\"",
            "\"\\",
            "\"\\u12",
            "[1] x",
            "\u{feff}1",
        ] {
            agrees(text);
        }
        for depth in [126, 127, 128, 129] {
            agrees(&("[".repeat(depth) + &"]".repeat(depth)));
            agrees(&("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)));
        }
    }

    #[test]
    fn an_error_says_what_and_where() {
        assert_eq!(parse("{\n \"a\": x}").unwrap_err(), "a value was expected at line 2 column 7");
        assert_eq!(parse("[1] 2").unwrap_err(), "the end was expected at line 1 column 5");
    }
}
