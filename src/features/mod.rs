//! Features: a declared schema turns a request and the local context into the model's inputs.
//!
//! The very same code fills training matrices (`ranklet featurize`) and serves, so there is no second
//! definition of a feature. All arithmetic is f64, rounded to f32 once at the end.

mod categories;
mod encode;
mod fill;
mod request;
mod schema;
mod source;
mod step;
mod table;
#[cfg(test)]
mod tests;
mod transform;

pub use encode::{Encoder, Matrix, Part, Scene};
pub use request::{Asked, Request};
pub use schema::{Aggregate, Encode, Feature, Input, Kind, PerRow, Schema};
pub use source::{CellKind, Column, Layout};
pub use table::{Cell, Table};
pub use transform::Transform;
