//! The engine: a plan, checked once, and an interpreter for it.
//!
//! Memory is laid out at open for a block of [`BLOCK`] candidates; a run allocates nothing. Steps on
//! shared values run once, steps on candidates block by block, so that a block stays in L1.

mod check;
mod elementwise;
mod forest;
mod interpreter;
mod masks;
mod operands;
mod over_axis;
pub mod plan;
mod read;
mod ready;
mod reduce;
mod request;
mod run;
mod schedule;
mod steps;
mod values;

pub use crate::bundle::tensor::{self, Data, Tensor, Tensors};
pub use interpreter::{Interpreter, Prepared};
pub use plan::{DType, Op, Plan, Port, Rows, Step, Value};
pub use request::slice;
pub use values::{Buffer, Slice};

/// Number of the arithmetic: raised whenever any kernel's bits change. A bundle's goldens are compared
/// bit for bit when it was compiled under the same number.
pub const NUMERICS: u32 = 2;

/// Candidates in a block.
pub const BLOCK: usize = 64;
