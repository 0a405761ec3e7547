//! Pure numeric functions over slices: no allocation, no state, the same bits on every platform.
//!
//! Every routine sums in a published order (documented on it), uses no fused multiply-add and no
//! function of `std` whose bits differ between platforms; each file holds one kernel family, its
//! naive twin and the property tests that compare them.

pub mod bytes;
pub mod dense;
pub mod elementwise;
pub mod half;
pub mod hash;
pub mod int8;
pub mod lanes;
pub mod math;
pub mod matmul;
pub mod moves;
mod outputs;
pub mod softmax;
pub mod sorted;
pub mod trees;
pub mod trees_packed;

#[cfg(test)]
mod testing;
