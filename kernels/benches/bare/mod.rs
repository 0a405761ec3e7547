//! The limit that a dense kernel is measured against: 4 rows by 8 columns, eight sums in registers, nothing else.

use criterion::{BenchmarkGroup, measurement::WallTime};
use ranklet_kernels::lanes::F4;
use std::hint::black_box;

/// Inputs of the bare tile: both of its operands stay in the first cache.
const DEPTH: usize = 256;
/// Operations of one pass.
pub const OPERATIONS: u64 = 2 * 4 * 8 * DEPTH as u64;

/// Adds the bare loop to a group; its throughput is set to [`OPERATIONS`].
pub fn bench(group: &mut BenchmarkGroup<'_, WallTime>) {
    let x: Vec<[f32; 4]> = (0..DEPTH).map(|k| std::array::from_fn(|r| (k * 4 + r) as f32 * 1e-4)).collect();
    let w: Vec<[f32; 8]> = (0..DEPTH).map(|k| std::array::from_fn(|c| (k * 8 + c) as f32 * 1e-4)).collect();
    group.throughput(criterion::Throughput::Elements(OPERATIONS));
    group.bench_function("bare loop", |b| b.iter(|| tile(black_box(&x), black_box(&w))));
}

fn tile(x: &[[f32; 4]], w: &[[f32; 8]]) -> [[f32; 4]; 8] {
    let mut sums = [F4::splat(0.0); 8];
    for (x, w) in x.iter().zip(w) {
        let (low, high) = (F4::load_some(&w[..4]), F4::load_some(&w[4..]));
        for (r, value) in x.iter().enumerate() {
            sums[2 * r] = sums[2 * r].plus(F4::splat(*value).times(low));
            sums[2 * r + 1] = sums[2 * r + 1].plus(F4::splat(*value).times(high));
        }
    }
    sums.map(F4::lanes)
}

/// Numbers within -1..1.
pub fn values(n: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as i32 as f32 / 2_147_483_648.0
    };
    (0..n).map(|_| next()).collect()
}
