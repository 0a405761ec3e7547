//! Products of two strided matrices, in the shapes of attention, beside the bare loop of the same run:
//! `cargo bench -p ranklet-kernels --bench matmul`. An element is an operation, so Gelem/s are GFLOP/s.

mod bare;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ranklet_kernels::matmul::{matmul, matmul_naive};
use std::hint::black_box;

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    bare::bench(&mut group);
    // A history of 32 by heads of 16, one query, a list of 100.
    for (m, depth, n) in [(32, 16, 32), (1, 24, 32), (100, 64, 100)] {
        let (a, b) = (bare::values(m * depth), bare::values(depth * n));
        let mut out = vec![0.0; m * n];
        group.throughput(Throughput::Elements(2 * (m * depth * n) as u64));
        for (name, b_depth, b_column) in [("mixture", n, 1), ("scores", 1, depth)] {
            let shape = format!("{m}x{depth}x{n}");
            group.bench_function(BenchmarkId::new(name, &shape), |bench| {
                bench.iter(|| matmul(black_box(&a), depth, 1, &b, 0, b_depth, b_column, m, depth, n, &mut out, n));
            });
            group.bench_function(BenchmarkId::new(format!("{name} naive"), &shape), |bench| {
                bench
                    .iter(|| matmul_naive(black_box(&a), depth, 1, &b, 0, b_depth, b_column, m, depth, n, &mut out, n));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500))
        .sample_size(20);
    targets = products
}
criterion_main!(benches);
