//! Rows per second of the naive walk and of the packed forest: `cargo bench -p ranklet-kernels --bench trees`.
//!
//! 2026-11-23, x86-64 with SSE2 alone (rustc 1.95), one thread of a busy 2-core AMD EPYC; median ms for 200 trees,
//! 40 features, N = 100 / 1000 (the wasm's figures stand in `trees_packed`):
//!
//! | leaves | naive | packed |
//! | --- | --- | --- |
//! | 2 | .112 / 2.5 | .026 / .27 |
//! | 8 | 1.05 / 10.0 | .044 / .37 |
//! | 31 | 1.69 / 17.2 | .093 / .90 |
//! | 64 | 2.27 / 22.2 | .168 / 1.9 |
//! | 255 | 8.7 / 35.6 | 1.07 / 8.1 |
//!
//! 2026-11-30, another machine, planes in turn and then in step, us at N = 100, the two built side by side and run in turns (the
//! same program varies by 40 % from one start to the next): 2 leaves 94 to 103, 68 to 69; 8 leaves 101, 77 to 92; 31 leaves 138 to 166,
//! 147 to 200; 64 leaves 327 to 344, 303 to 308; 255 leaves 375 to 519, 380 to 404. The wasm is what the kernel is made for.

mod forest;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ranklet_kernels::trees_packed::PackedForest;
use std::hint::black_box;

const WIDTH: usize = 40;

fn trees(c: &mut Criterion) {
    // Few-leaved, shallow, LightGBM's default, the most of one and of two words, deep.
    for (trees, leaves) in [(200, 2), (200, 8), (200, 31), (200, 32), (200, 64), (200, 255)] {
        let mut random = forest::Random::new(7);
        let owned = forest::Owned::new(trees, leaves, WIDTH, &mut random);
        let mut packed = PackedForest::new(&owned.view(), WIDTH, 1, &[]);
        // The ten columns that are tested most often.
        let columns: Vec<bool> = (0..WIDTH).map(|column| column < 10).collect();
        let mut shared = PackedForest::new(&owned.view(), WIDTH, 1, &columns);
        let mut group = c.benchmark_group(format!("trees/{trees}x{leaves}"));
        for n in [100, 1000] {
            let x = forest::rows(n, WIDTH, &mut random);
            let mut sums = vec![0.0; n];
            group.throughput(Throughput::Elements(n as u64));
            group.bench_with_input(BenchmarkId::new("naive", n), &x, |b, x| {
                b.iter(|| {
                    sums.fill(0.0);
                    for (row, sum) in black_box(x).chunks_exact(WIDTH).zip(sums.chunks_exact_mut(1)) {
                        owned.view().add(row, sum);
                    }
                });
            });
            let mut fast = vec![0.0; n];
            group.bench_with_input(BenchmarkId::new("packed", n), &x, |b, x| {
                b.iter(|| {
                    fast.fill(0.0);
                    packed.add(black_box(x), &mut fast);
                });
            });
            assert!(sums.iter().zip(&fast).all(|(a, b)| a.to_bits() == b.to_bits()));
            group.bench_with_input(BenchmarkId::new("packed, 10 columns shared", n), &x, |b, x| {
                b.iter(|| {
                    fast.fill(0.0);
                    shared.begin(&x[..WIDTH]);
                    shared.add(black_box(x), &mut fast);
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(1000))
        .sample_size(30);
    targets = trees
}
criterion_main!(benches);
