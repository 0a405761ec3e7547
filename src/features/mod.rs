//! Features: a declared schema turns a request and the local context into the model's matrix.
//!
//! The very same code fills training matrices (`ranklet featurize`) and serves, so there is no second
//! definition of a feature. All arithmetic is f64, rounded to f32 once at the end.

mod encode;
mod request;
mod schema;
mod source;
mod table;

pub use encode::{Encoder, Scene};
pub use request::{Asked, Request};
pub use schema::{Aggregate, Encode, Feature, Kind, Schema, Transform};
pub use source::{CellKind, Column, Layout};
pub use table::{Cell, Table};
