//! What is known of an engine, as plain objects. Built by hand: a serialiser of any type was 2 KB more.

use super::object;
use crate::error::ErrorKind;
use crate::features::{CellKind, Column};
use crate::ranker::Digests;
use js_sys::Array;
use wasm_bindgen::JsValue;

/// An array of what `form` makes of each.
pub(super) fn list<T>(all: impl IntoIterator<Item = T>, form: fn(T) -> JsValue) -> JsValue {
    all.into_iter().map(form).collect::<Array>().into()
}

fn text(of: &String) -> JsValue {
    of.into()
}

/// The codes by which a ranking names its reason.
pub(super) fn reasons() -> JsValue {
    list(&ErrorKind::REASONS, |reason| reason.code().into())
}

/// A column of the request as the face reads it.
pub(super) fn column(column: &Column, per: &str) -> JsValue {
    let kind = match column.kind {
        CellKind::Number => "number",
        CellKind::String => "string",
        CellKind::Strings => "strings",
        CellKind::Numbers => "numbers",
    };
    let width = ("width", column.width.into());
    object([("path", text(&column.path)), ("kind", kind.into()), width, ("per", per.into())]).into()
}

pub(super) fn digests(of: &Digests) -> JsValue {
    object([("bundle", text(&of.bundle)), ("schema", text(&of.schema)), ("policy", text(&of.policy))]).into()
}
