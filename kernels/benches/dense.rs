//! Dense layers in f32 and on integers, in blocks of 64 rows as the engine runs them, beside the bare loop of the same
//! run: `cargo bench -p ranklet-kernels --bench dense`. An element is an operation, so Gelem/s are GFLOP/s.
//!
//! 2026-11-24, Node 20 (V8), simd128, one thread of a 2-core AMD EPYC shared with other builds; GFLOP/s at 10 / 100
//! rows, the fifth best of 25 runs, a loop written by hand with wasm's intrinsics at 30 to 36:
//!
//! | layer | f32 | integers |
//! | --- | --- | --- |
//! | 64 -> 128 | 40 / 41 | 53 / 61 |
//! | 128 -> 64 | 42 / 42 | 59 / 64 |
//! | 256 -> 512 | 43 / 43 | 75 / 80 |
//! | 512 -> 256 | 43 / 43 | 77 / 81 |
//! | 256 -> 128 | 43 / 43 | 70 / 74 |
//!
//! Two pair products and their sum are two operations for 8 products, where f32 has 4: the limit of integers is twice
//! that of f32. To quantise a row is a twentieth of 256 -> 128, and less of wider layers.
//!
//! Natively, with SSE2 alone, integers are slower than f32: `lanes` is plain arrays there, in which LLVM sees no
//! `pmaddwd`. The page's kernel is what they are made for.

mod bare;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ranklet_kernels::dense::{self, Activation, Start};
use ranklet_kernels::int8;
use std::hint::black_box;

const BLOCK: usize = 64;

fn layers(c: &mut Criterion) {
    for (inputs, outputs) in [(64, 128), (128, 64), (64, 1), (256, 512), (512, 256), (256, 128)] {
        let mut group = c.benchmark_group(format!("dense/{inputs}x{outputs}"));
        bare::bench(&mut group);
        let (w, bias) = (bare::values(inputs * outputs), bare::values(outputs));
        let mut packed = vec![0.0; dense::packed_len(inputs, outputs)];
        dense::pack(&w, inputs, outputs, &mut packed);
        let (mut integers, mut scales) = (vec![0; w.len()], vec![0.0; outputs]);
        int8::quantise8(&w, inputs, outputs, &mut integers, &mut scales);
        let mut packed8 = vec![0; int8::packed8_len(inputs, outputs)];
        int8::pack8(&integers, inputs, outputs, &mut packed8);
        let mut scratch = vec![0; int8::scratch8_len(inputs, BLOCK)];
        let start = Start { shift: &bias, ..Start::default() };
        for rows in [10, 100, 1000] {
            let x = bare::values(rows * inputs);
            let mut y = vec![0.0; rows * outputs];
            group.throughput(Throughput::Elements(2 * (rows * inputs * outputs) as u64));
            // After a Relu of random weights every other is 0, of trained ones more, of one-hot columns nearly all.
            for (name, kept) in [("f32", 1.0), ("f32, half 0", 0.5), ("f32, nine in ten 0", 0.1)] {
                let kept = bare::values(x.len()).into_iter().map(|chance| (chance + 1.0) / 2.0 < kept);
                let x: Vec<f32> = x.iter().zip(kept).map(|(x, kept)| if kept { *x } else { 0.0 }).collect();
                group.bench_with_input(BenchmarkId::new(name, rows), &x, |b, x| {
                    b.iter(|| {
                        for (x, y) in black_box(x).chunks(BLOCK * inputs).zip(y.chunks_mut(BLOCK * outputs)) {
                            let (rows, act) = (y.len() / outputs, Activation::Relu);
                            dense::dense(x, inputs, &packed, start, inputs, outputs, act, y, outputs, rows, true);
                        }
                    });
                });
            }
            group.bench_with_input(BenchmarkId::new("integers", rows), &x, |b, x| {
                b.iter(|| {
                    for (x, y) in black_box(x).chunks(BLOCK * inputs).zip(y.chunks_mut(BLOCK * outputs)) {
                        let rows = y.len() / outputs;
                        int8::dense8(
                            x,
                            inputs,
                            &packed8,
                            &scales,
                            start,
                            inputs,
                            outputs,
                            Activation::Relu,
                            y,
                            outputs,
                            rows,
                            &mut scratch,
                        );
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500))
        .sample_size(20);
    targets = layers
}
criterion_main!(benches);
