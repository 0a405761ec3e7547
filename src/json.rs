//! Reading our own JSON forms from a parsed value.
//!
//! serde's derived readers are compiled anew for every type they meet, and every early return drags the
//! destructors of all that was read before it: they were more than half of the page's module. Here a reader
//! always gives a value, and notes the first thing that did not fit; the caller asks once, at the end. Writing
//! stays with serde's derive, and tests hold the two together.

mod decimal;
mod text;
mod write;

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(crate) use write::push_digits;
#[cfg(all(target_arch = "wasm32", not(feature = "ranking")))]
pub(crate) use write::quote;

/// The first thing that did not fit, and where: `heads[0].column: a whole number was expected`.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    path: String,
    first: Option<String>,
}

impl Notes {
    /// Notes that the value at the present place is wrong.
    pub fn wrong(&mut self, what: &str) {
        if self.first.is_none() {
            let place = if self.path.is_empty() { "it" } else { &self.path };
            self.first = Some(format!("{place}: {what}"));
        }
    }

    /// Goes one level deeper; the length comes back to [`leave`](Self::leave).
    #[inline(never)]
    fn enter(&mut self, dot: &str, place: &str) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push_str(dot);
        }
        self.path.push_str(place);
        length
    }

    #[inline(never)]
    fn enter_item(&mut self, index: usize) -> usize {
        let length = self.enter("", "[");
        push_digits(index as u64, &mut self.path);
        self.path.push(']');
        length
    }

    #[inline(never)]
    fn leave(&mut self, length: usize) {
        self.path.truncate(length);
    }
}

/// A type that is read from JSON. What does not fit is noted and read as something harmless.
pub(crate) trait Read {
    fn read(value: &Value, notes: &mut Notes) -> Self;
    /// Whether a field of this type may be left out.
    const OPTIONAL: bool = false;
}

/// Reads a parsed value.
///
/// # Errors
/// What did not fit, and where.
pub(crate) fn from_value<T: Read>(value: &Value) -> Result<T, String> {
    let mut notes = Notes::default();
    let read = T::read(value, &mut notes);
    match notes.first {
        None => Ok(read),
        Some(wrong) => Err(wrong),
    }
}

/// Parses and reads a text. A scorer reads a manifest, which is parsed by then, and no text.
///
/// # Errors
/// As [`from_value`].
#[cfg(any(feature = "ranking", test))]
pub(crate) fn parse<T: Read>(text: &str) -> Result<T, String> {
    from_value(&value(text)?)
}

/// Parses a text.
///
/// # Errors
/// What was expected, and where.
pub(crate) fn value(text: &str) -> Result<Value, String> {
    text::parse(text)
}

/// The field `name` of an object. A scorer asks for all fields of an object in turn ([`Fields`]).
#[cfg(any(feature = "ranking", test))]
#[inline(never)]
pub(crate) fn field<T: Read>(object: &Value, name: &str, notes: &mut Notes) -> T {
    let value = get(object, name, T::OPTIONAL, notes);
    let length = notes.enter(".", name);
    let read = T::read(value, notes);
    notes.leave(length);
    read
}

/// The same, with a value for when it is not there.
#[cfg(any(feature = "ranking", test))]
pub(crate) fn field_or<T: Read>(object: &Value, name: &str, default: T, notes: &mut Notes) -> T {
    if object.get(name).is_none() { default } else { field(object, name, notes) }
}

#[inline(never)]
fn get<'a>(object: &'a Value, name: &str, optional: bool, notes: &mut Notes) -> &'a Value {
    match object.get(name) {
        Some(value) => value,
        None => {
            if !optional {
                let length = notes.enter(".", name);
                notes.wrong("it is missing");
                notes.leave(length);
            }
            &Value::Null
        }
    }
}

/// The fields of an object in the order of their names: each is asked for by its type alone, since a page pays for every
/// name that is handed to a function.
pub(crate) struct Fields<'a> {
    object: &'a Value,
    /// Those that are still to come, with a space after each.
    names: &'static str,
    notes: &'a mut Notes,
}

impl<'a> Fields<'a> {
    /// Of a variant's inside, of which nothing else is asked.
    pub fn inside(object: &'a Value, names: &'static str, notes: &'a mut Notes) -> Self {
        Self { object, names, notes }
    }

    /// Of what must be an object.
    #[inline(never)]
    pub fn of(object: &'a Value, names: &'static str, notes: &'a mut Notes) -> Self {
        if !object.is_object() {
            notes.wrong("an object was expected");
        }
        Self { object, names, notes }
    }

    /// The next field.
    #[inline(never)]
    pub fn next<T: Read>(&mut self) -> T {
        let (value, length) = self.enter(T::OPTIONAL);
        let read = T::read(value, self.notes);
        self.notes.leave(length);
        read
    }

    /// The same, with a value for when it is not there.
    pub fn next_or<T: Read>(&mut self, default: T) -> T {
        if self.passed() { default } else { self.next() }
    }

    #[inline(never)]
    fn enter(&mut self, optional: bool) -> (&'a Value, usize) {
        let name = word(&mut self.names);
        let value = get(self.object, name, optional, self.notes);
        (value, self.notes.enter(".", name))
    }

    /// Whether the next field is not there; then it is passed over.
    #[inline(never)]
    fn passed(&mut self) -> bool {
        let mut names = self.names;
        let missing = self.object.get(word(&mut names)).is_none();
        if missing {
            self.names = names;
        }
        missing
    }
}

/// Takes the first of words that have a space after each; none is left of nothing.
#[inline(never)]
fn word(words: &mut &'static str) -> &'static str {
    let (word, rest) = words.split_once(' ').unwrap_or_default();
    *words = rest;
    word
}

/// Which of words that have a space after each this is; how many they are where it is none.
#[inline(never)]
pub(crate) fn which(name: &str, mut words: &'static str) -> usize {
    let mut at = 0;
    while !words.is_empty() && word(&mut words) != name {
        at += 1;
    }
    at
}

/// Refuses keys other than `fields`: for what people write by hand.
#[cfg(feature = "compile")]
pub(crate) fn only(object: &Value, place: &str, fields: &[&str]) -> Result<(), String> {
    for key in object.as_object().into_iter().flat_map(|o| o.keys()) {
        if !fields.contains(&key.as_str()) {
            return Err(format!("{place}{key}: no such key; there are {}", fields.join(", ")));
        }
    }
    Ok(())
}

/// The one key of an externally tagged variant, and what stands behind it (null for a bare name).
pub(crate) fn variant(value: &Value) -> (&str, &Value) {
    match value {
        Value::String(name) => (name, &Value::Null),
        Value::Object(entries) if entries.len() == 1 => {
            entries.iter().next().map_or(("", &Value::Null), |(name, inner)| (name.as_str(), inner))
        }
        _ => ("", &Value::Null),
    }
}

fn noted<T: Default>(value: Option<T>, what: &str, notes: &mut Notes) -> T {
    value.unwrap_or_else(|| {
        notes.wrong(what);
        T::default()
    })
}

impl Read for String {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        noted(value.as_str().map(str::to_owned), "a text was expected", notes)
    }
}

impl Read for bool {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        noted(value.as_bool(), "true or false was expected", notes)
    }
}

impl Read for f64 {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let bits = value.as_str().and_then(|t| t.strip_prefix("0x")).and_then(|t| u64::from_str_radix(t, 16).ok());
        noted(bits.map(f64::from_bits).or_else(|| value.as_f64()), "a number was expected", notes)
    }
}

/// A number as a manifest holds it: a decimal that any reader reads exactly (up to 15 digits, an exponent within 22: one
/// correctly rounded operation on two exact numbers; Clinger 1990), any other as its bits, `"0x3fd3333333333334"`.
#[cfg(feature = "compile")]
pub(crate) fn portable(x: f64) -> Value {
    let text = format!("{x:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let places = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
    let count = digits.chars().filter(char::is_ascii_digit).count();
    let exponent = exponent.parse::<i32>().unwrap_or(i32::MAX);
    if count <= 15 && (-22..=22).contains(&(exponent - places)) && (-22..=22).contains(&exponent) {
        return Value::from(x);
    }
    Value::String(format!("0x{:016x}", x.to_bits()))
}

impl Read for f32 {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        // JSON has no infinity; a clip without a bound has one, and is written as a text.
        match value.as_str() {
            Some("inf") => f32::INFINITY,
            Some("-inf") => f32::NEG_INFINITY,
            _ => f64::read(value, notes) as f32,
        }
    }
}

impl Read for u64 {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        noted(value.as_u64(), "a whole number was expected", notes)
    }
}

impl Read for i64 {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        noted(value.as_i64(), "a whole number was expected", notes)
    }
}

impl Read for u32 {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        noted(u32::try_from(u64::read(value, notes)).ok(), "the number is too large", notes)
    }
}

impl Read for usize {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        u32::read(value, notes) as usize
    }
}

impl<T: Read> Read for Option<T> {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        if value.is_null() { None } else { Some(T::read(value, notes)) }
    }
    const OPTIONAL: bool = true;
}

impl<T: Read> Read for Arc<T> {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        Arc::new(T::read(value, notes))
    }
}

/// What stands in a list.
#[inline(never)]
fn items<'a>(value: &'a Value, notes: &mut Notes) -> &'a [Value] {
    let Value::Array(items) = value else {
        notes.wrong("a list was expected");
        return &[];
    };
    items
}

/// Goes through a list; here and not in the reader, which is made anew for every type.
#[inline(never)]
fn each(items: &[Value], notes: &mut Notes, read: &mut dyn FnMut(&Value, &mut Notes)) {
    for (i, item) in items.iter().enumerate() {
        let length = notes.enter_item(i);
        read(item, notes);
        notes.leave(length);
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let items = items(value, notes);
        let mut list = Vec::with_capacity(items.len());
        each(items, notes, &mut |item, notes| list.push(T::read(item, notes)));
        list
    }
}

impl<T: Read> Read for VecDeque<T> {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        Vec::read(value, notes).into()
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let mut map = BTreeMap::new();
        match value {
            Value::Object(entries) => {
                for (key, item) in entries {
                    let length = notes.enter(".", key);
                    map.insert(key.clone(), T::read(item, notes));
                    notes.leave(length);
                }
            }
            _ => notes.wrong("an object was expected"),
        }
        map
    }
}

impl Read for Value {
    fn read(value: &Value, _: &mut Notes) -> Self {
        value.clone()
    }
}

/// Reads a struct: fields that must be there, then those with a default.
macro_rules! read_struct {
    ($type:ty { $($required:ident),* $(; $($optional:ident = $default:expr),*)? }) => {
        impl crate::json::Read for $type {
            #[inline(never)]
            fn read(value: &serde_json::Value, notes: &mut crate::json::Notes) -> Self {
                let names = concat!($(stringify!($required), " ",)* $($(stringify!($optional), " ",)*)?);
                let mut fields = crate::json::Fields::of(value, names, notes);
                Self {
                    $($required: fields.next(),)*
                    $($($optional: fields.next_or($default),)*)?
                }
            }
        }
        impl $type {
            /// Names of the fields as they are written.
            #[allow(dead_code, reason = "asked for where people write the form by hand")]
            pub(crate) const FIELDS: &'static [&'static str] =
                &[$(stringify!($required),)* $($(stringify!($optional),)*)?];
        }
    };
}

/// Reads an enum without data by its names; the first is what an unknown one is read as.
macro_rules! read_names {
    ($type:ty { $first:literal => $default:ident $(, $name:literal => $variant:ident)* $(,)? }) => {
        impl crate::json::Read for $type {
            #[inline(never)]
            fn read(value: &serde_json::Value, notes: &mut crate::json::Notes) -> Self {
                const ALL: &[$type] = &[<$type>::$default, $(<$type>::$variant),*];
                const NAMES: &str = concat!($first, " ", $($name, " "),*);
                match ALL.get(crate::json::which(value.as_str().unwrap_or_default(), NAMES)) {
                    Some(&one) => one,
                    None => {
                        notes.wrong(crate::error::detail(concat!("one of these was expected: ", $first, $(" ", $name),*)));
                        Self::$default
                    }
                }
            }
        }
    };
}

/// Reads an externally tagged enum: variants that hold a value, then those with fields, then bare ones.
macro_rules! read_variants {
    ($type:ident, $unknown:literal, $harmless:expr;
     $($held_name:literal => $held:ident,)*;
     $($name:literal => $variant:ident { $($field:ident),* },)*;
     $($bare_name:literal => $bare:ident,)*) => {
        impl crate::json::Read for $type {
            #[inline(never)]
            fn read(value: &serde_json::Value, notes: &mut crate::json::Notes) -> Self {
                enum Place {
                    $($held,)*
                    $($variant,)*
                    $($bare,)*
                }
                let (name, inside) = crate::json::variant(value);
                match crate::json::which(name, concat!($($held_name, " ",)* $($name, " ",)* $($bare_name, " ",)*)) {
                    $(place if place == Place::$held as usize => $type::$held(crate::json::Read::read(inside, notes)),)*
                    $(place if place == Place::$variant as usize => {
                        let mut fields = crate::json::Fields::inside(inside, concat!($(stringify!($field), " "),*), notes);
                        $type::$variant { $($field: fields.next()),* }
                    })*
                    $(place if place == Place::$bare as usize => $type::$bare,)*
                    _ => {
                        notes.wrong($unknown);
                        $harmless
                    }
                }
            }
        }
    };
}

pub(crate) use {read_names, read_struct, read_variants};

#[cfg(all(test, feature = "compile"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the page's parser does with a short decimal: its digits as a number, times or over a power of ten.
    fn as_the_page_reads(text: &str) -> f64 {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: i64 = format!("{whole}{fraction}").parse().expect("a decimal");
        let exponent = exponent.parse::<i32>().expect("a decimal") - fraction.len() as i32;
        let power = format!("1e{}", exponent.abs()).parse::<f64>().expect("a decimal");
        if exponent < 0 { digits as f64 / power } else { digits as f64 * power }
    }

    proptest! {
        #[test]
        fn a_portable_number_reads_back_bit_for_bit(bits: u64, short in -1_000_000i64..1_000_000, places in 0i32..9) {
            let decimal = format!("{short}e-{places}").parse::<f64>().unwrap();
            for x in [f64::from_bits(bits), decimal, f64::from(decimal as f32), 0.1 + 0.2] {
                if !x.is_finite() {
                    continue;
                }
                let value = portable(x);
                prop_assert_eq!(from_value::<f64>(&value).unwrap().to_bits(), x.to_bits());
                if value.is_number() {
                    prop_assert_eq!(as_the_page_reads(&value.to_string()), x);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        assert_eq!(parse::<Vec<Option<u32>>>("[1, null, -1]").unwrap_err(), "[2]: a whole number was expected");
        assert_eq!(parse::<crate::policy::Weight>("{}").unwrap_err(), "default: it is missing");
    }
}
