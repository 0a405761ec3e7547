//! Functions of slices, and the decoding of 16-bit floats, beside the copy of the same run, which is the limit of all
//! that goes through memory once: `cargo bench -p ranklet-kernels --bench elements`.
//!
//! 2026-11-24, Node 20 (V8), simd128, one thread of a 2-core AMD EPYC shared with other builds; ns an element of 1000,
//! the fifth best of 25 runs: exp 1.5, sigmoid 2.0, ln 2.4, tanh 2.9, softplus 4.4, erf 4.8, gelu 5.2, relu .1; sigmoid
//! one by one 8.3.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ranklet_kernels::{half, math};
use std::hint::black_box;

const N: usize = 1000;

type Function = fn(&mut [f32]);

fn elements(c: &mut Criterion) {
    // From -4 to 4, in no order.
    let x: Vec<f32> = (0..N).map(|i| (i * 389 % N) as f32 * 0.008 - 4.0).collect();
    let mut y = vec![0.0; N];
    let mut group = c.benchmark_group("elements");
    group.throughput(Throughput::Elements(N as u64));
    group.bench_function("copy", |b| b.iter(|| y.copy_from_slice(black_box(&x))));
    let functions: [(&str, Function); 10] = [
        ("relu", math::relu_slice),
        ("exp", math::exp_slice),
        ("sigmoid", math::sigmoid_slice),
        ("tanh", math::tanh_slice),
        ("ln", math::ln_slice),
        ("softplus", math::softplus_slice),
        ("erf", math::erf_slice),
        ("silu", math::silu_slice),
        ("gelu", math::gelu_slice),
        ("gelu_tanh", math::gelu_tanh_slice),
    ];
    for (name, f) in functions {
        group.bench_function(name, |b| {
            b.iter(|| {
                y.copy_from_slice(black_box(&x));
                f(&mut y);
            });
        });
    }
    let mut halves = vec![0; N];
    half::encode_f16(&x, &mut halves);
    group.bench_function("f16", |b| b.iter(|| half::decode_f16(black_box(&halves), &mut y)));
    half::encode_bf16(&x, &mut halves);
    group.bench_function("bf16", |b| b.iter(|| half::decode_bf16(black_box(&halves), &mut y)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500))
        .sample_size(20);
    targets = elements
}
criterion_main!(benches);
