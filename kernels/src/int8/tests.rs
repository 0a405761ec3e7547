use super::*;
use crate::testing::{Random, bits};
use proptest::prelude::*;

fn packed(w: &[i8], inputs: usize, outputs: usize) -> Vec<i16> {
    let mut packed = vec![1; packed8_len(inputs, outputs)];
    pack8(w, inputs, outputs, &mut packed);
    packed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn tiled_equals_naive_bit_for_bit(
        rows in prop_oneof![0usize..11, 60usize..70], inputs in prop_oneof![0usize..40, 505usize..530, 1020usize..1030],
        outputs in 1usize..20, start in 0usize..4, activation in 0usize..3, gaps in (0usize..4, 0usize..4), odd in 0usize..4, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let (x_stride, y_stride) = (inputs + gaps.0, outputs + gaps.1);
        let mut x = random.values(rows * inputs);
        // Rows of their own size, and some that have no scale or none to speak of.
        for row in x.chunks_exact_mut(inputs.max(1)) {
            let factor = random.pick(&[1.0, 1e-3, 3e20, 1e-30]);
            row.iter_mut().for_each(|x| *x *= factor);
            let special = [0.5, f32::NAN, f32::INFINITY, 1e-40][odd];
            if random.below(4) == 0 {
                row.fill(0.0);
                row[random.below(inputs)] = special;
            }
        }
        let w: Vec<i8> = (0..inputs * outputs).map(|_| (random.below(255) as i32 - 127) as i8).collect();
        let scales = random.values(outputs);
        let (bias, starts) = (random.values(outputs), random.values(rows * outputs));
        let start = Start {
            rows: if start / 2 == 1 { &starts } else { &[] },
            shift: if start % 2 == 1 { &bias } else { &[] },
        };
        let activation = [Activation::None, Activation::Relu, Activation::LeakyRelu(0.3)][activation];
        let mut wide = vec![f32::NAN; rows * x_stride];
        for r in 0..rows {
            wide[r * x_stride..][..inputs].copy_from_slice(&x[r * inputs..][..inputs]);
        }
        let mut y = vec![7.5; rows * y_stride];
        let mut z = vec![0.0; rows * outputs];
        // Room for all rows at once, or for some.
        let mut scratch = vec![-7; scratch8_len(inputs, 1 + random.below(rows.max(1)))];
        let packed = packed(&w, inputs, outputs);
        dense8(
            &wide, x_stride, &packed, &scales, start, inputs, outputs, activation, &mut y, y_stride, rows, &mut scratch,
        );
        dense8_naive(&x, &w, &scales, start, inputs, outputs, activation, &mut z);
        for r in 0..rows {
            prop_assert_eq!(bits(&y[r * y_stride..][..outputs]), bits(&z[r * outputs..][..outputs]));
            prop_assert!(y[r * y_stride + outputs..(r + 1) * y_stride].iter().all(|&gap| gap == 7.5));
        }
    }
}

/// Every product as large as can be: an i32 just holds a block.
#[test]
fn the_greatest_sums_do_not_overflow() {
    for (weight, x) in [(127, 1.0), (-128, 1.0), (127, -1.0), (-128, -1.0)] {
        let inputs = 2 * DEPTH + 8;
        let (w, x) = (vec![weight; inputs], vec![x; inputs]);
        let (mut y, mut z, mut scratch) = ([0.0], [0.0], vec![0; scratch8_len(inputs, 1)]);
        let packed = packed(&w, inputs, 1);
        dense8(&x, inputs, &packed, &[1.0], Start::default(), inputs, 1, Activation::None, &mut y, 1, 1, &mut scratch);
        dense8_naive(&x, &w, &[1.0], Start::default(), inputs, 1, Activation::None, &mut z);
        assert_eq!(bits(&y), bits(&z));
        let exact = f64::from(weight) * f64::from(x[0]) * inputs as f64;
        assert!((f64::from(y[0]) - exact).abs() <= exact.abs() * 1e-6);
    }
}

#[test]
fn a_layer_is_within_the_steps_of_its_scales() {
    let (inputs, outputs) = (256, 64);
    let mut random = Random::new(3);
    let (x, w) = (random.values(inputs), random.values(inputs * outputs));
    let (mut quantised, mut scales) = (vec![0; w.len()], vec![0.0; outputs]);
    quantise8(&w, inputs, outputs, &mut quantised, &mut scales);
    assert!(quantised.iter().all(|q| (-127..=127).contains(q)));
    let (mut y, mut scratch) = (vec![0.0; outputs], vec![0; scratch8_len(inputs, 1)]);
    let packed = packed(&quantised, inputs, outputs);
    dense8(
        &x,
        inputs,
        &packed,
        &scales,
        Start::default(),
        inputs,
        outputs,
        Activation::None,
        &mut y,
        outputs,
        1,
        &mut scratch,
    );
    for (column, (y, scale)) in y.iter().zip(&scales).enumerate() {
        let exact: f64 = (0..inputs).map(|k| f64::from(x[k]) * f64::from(w[k * outputs + column])).sum();
        // Half a step of each weight, and of each activation.
        let bound: f64 = x.iter().map(|x| f64::from(x.abs() * scale) * 0.5 + 2.0 * 0.5 * 2.0 / 32_767.0).sum();
        assert!((f64::from(*y) - exact).abs() <= bound, "column {column}");
    }
}

/// Rows so long that scratch holds few of them, or one.
#[test]
fn long_rows_take_turns() {
    let (rows, outputs) = (9, 3);
    let mut random = Random::new(7);
    for (inputs, held) in [(20_000, 6), (100_000, 1), (140_000, 1)] {
        assert_eq!(scratch8_len(inputs, usize::MAX), held * inputs);
        let x = random.values(rows * inputs);
        let w: Vec<i8> = (0..inputs * outputs).map(|_| (random.below(255) as i32 - 127) as i8).collect();
        let scales = random.values(outputs);
        let (mut y, mut z) = (vec![0.0; rows * outputs], vec![0.0; rows * outputs]);
        let mut scratch = vec![0; scratch8_len(inputs, usize::MAX)];
        let (packed, start, none) = (packed(&w, inputs, outputs), Start::default(), Activation::None);
        dense8(&x, inputs, &packed, &scales, start, inputs, outputs, none, &mut y, outputs, rows, &mut scratch);
        dense8_naive(&x, &w, &scales, start, inputs, outputs, none, &mut z);
        assert_eq!(bits(&y), bits(&z), "{inputs}");
    }
}
