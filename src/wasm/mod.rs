//! The wasm-bindgen boundary. It only converts: js-sys stops here.
//!
//! One class a module: `Engine` of a page that ranks, `Engine` of one that scores alone, `Compiler` of the compile
//! module. After a trap the face drops the whole instance, and whatever hung on it.

#[cfg(feature = "compile")]
mod compiler;
#[cfg(all(feature = "ranking", not(feature = "compile")))]
mod context;
#[cfg(not(feature = "compile"))]
#[cfg(all(feature = "ranking", not(feature = "compile")))]
mod objects;
#[cfg(all(feature = "ranking", not(feature = "compile")))]
mod ranking;
#[cfg(not(feature = "ranking"))]
mod scores;
#[cfg(not(feature = "ranking"))]
mod scoring;
#[cfg(not(feature = "compile"))]
mod slab;

#[cfg(all(feature = "ranking", not(feature = "compile")))]
use crate::bundle::Hashes;
use crate::error::Error;
use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;

/// An error as the face takes it: `{code, message}`.
fn thrown(error: &Error) -> JsValue {
    object([("code", error.kind().code().into()), ("message", error.message().into())]).into()
}

/// Hashes as the face gives them: of the content, then of the file; of any other length, none.
#[cfg(all(feature = "ranking", not(feature = "compile")))]
fn hashes(bytes: &[u8]) -> Option<Hashes> {
    Hashes::try_from(bytes.as_chunks().0).ok()
}

/// A plain object.
fn object<'a>(properties: impl IntoIterator<Item = (&'a str, JsValue)>) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, &value);
    }
    object
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // Setting a plain object's property cannot fail.
    let _ = Reflect::set(object, &name.into(), value);
}
