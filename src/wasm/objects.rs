//! What is known of an engine, and records, as plain objects with the keys of their JSON forms (the parity test holds a
//! record to the native one). Built by hand: a serialiser of any type was 2 KB more.

use super::object;
use crate::context::Suppression;
use crate::error::ErrorKind;
use crate::features::{CellKind, Column};
use crate::ranker::{Digests, HeadValue, Record, RecordItem};
use js_sys::Array;
use wasm_bindgen::JsValue;

/// An array of what `form` makes of each.
pub(super) fn list<T>(all: impl IntoIterator<Item = T>, form: fn(T) -> JsValue) -> JsValue {
    all.into_iter().map(form).collect::<Array>().into()
}

/// Null where there is nothing.
fn or_null<T: Into<JsValue>>(value: Option<T>) -> JsValue {
    value.map_or(JsValue::NULL, Into::into)
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
    };
    object([("path", text(&column.path)), ("kind", kind.into()), ("per", per.into())]).into()
}

pub(super) fn digests(of: &Digests) -> JsValue {
    object([("bundle", text(&of.bundle)), ("schema", text(&of.schema)), ("policy", text(&of.policy))]).into()
}

fn head(HeadValue { raw, calibrated }: &HeadValue) -> JsValue {
    object([("raw", (*raw).into()), ("calibrated", (*calibrated).into())]).into()
}

fn item(item: &RecordItem) -> JsValue {
    let suppressed = item.suppressed.map(|why| match why {
        Suppression::Dismissed => "dismissed",
        Suppression::Snoozed => "snoozed",
    });
    let heads = object(item.heads.iter().map(|(name, value)| (name.as_str(), head(value))));
    let object = object([
        ("id", text(&item.id)),
        ("key", text(&item.key)),
        ("rank", item.rank.into()),
        ("server_rank", item.server_rank.into()),
        ("score", or_null(item.score)),
        ("heads", heads.into()),
        ("utility", or_null(item.utility)),
        ("propensity", item.propensity.into()),
        ("log_propensity", item.log_propensity.into()),
        ("suppressed", or_null(suppressed)),
        ("constraints", list(&item.constraints, text)),
    ]);
    if let Some(features) = &item.features {
        super::set(&object, "features", &text(features));
    }
    object.into()
}

/// A decision record.
pub(super) fn record(of: &Record) -> JsValue {
    object([
        ("source", text(&of.source)),
        ("reason", or_null(of.reason.as_ref())),
        ("decision_id", or_null(of.decision_id.as_ref())),
        ("list_id", or_null(of.list_id.as_ref())),
        ("seed", or_null(of.seed.map(|seed| seed as f64))),
        ("now", of.now.into()),
        ("surface", or_null(of.surface.as_ref())),
        ("numerics", of.numerics.into()),
        ("digests", of.digests.as_ref().map_or(JsValue::NULL, digests)),
        ("items", list(&of.items, item)),
    ])
    .into()
}
