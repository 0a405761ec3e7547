use super::*;
use crate::testing::{Random, bits};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn tiled_equals_naive_bit_for_bit(
        rows in prop_oneof![0usize..11, 11usize..40, 60usize..130], inputs in prop_oneof![0usize..19, 19usize..140],
        outputs in prop_oneof![Just(1usize), 1usize..20, 20usize..70],
        start in 0usize..4, activation in 0usize..3, gaps in (0usize..4, 0usize..4), special: bool, skip: bool,
        zeros in prop_oneof![Just(0usize), Just(50), Just(90), Just(100)], seed: u64,
    ) {
        let mut random = Random::new(seed);
        let (x_stride, y_stride) = (inputs + gaps.0, outputs + if outputs == 1 { 0 } else { gaps.1 });
        let mut x = random.values(rows * inputs);
        let w = random.values(inputs * outputs);
        let (mut bias, mut starts) = (random.values(outputs), random.values(rows * outputs));
        // One element in five is what comparisons and sums treat in their own way.
        for value in [&mut x, &mut bias, &mut starts].into_iter().flatten() {
            if special && random.below(5) == 0 {
                *value = random.pick(&[0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
            }
        }
        // The rows after some are as they were: what was begun without zeros is begun again with them.
        let some = random.below(2 * rows + 1).min(rows);
        for value in &mut x[..some * inputs] {
            if random.below(100) < zeros {
                *value = random.pick(&[0.0, -0.0]);
            }
        }
        if skip {
            // The promise that goes with it; + 0.0 makes 0 of -0.
            bias.iter_mut().chain(&mut starts).for_each(|start| *start += 0.0);
        }
        let start = Start {
            rows: if start / 2 == 1 { &starts } else { &[] },
            shift: if start % 2 == 1 { &bias } else { &[] },
        };
        let activation = [Activation::None, Activation::Relu, Activation::LeakyRelu(0.3)][activation];
        let mut packed = vec![0.0; packed_len(inputs, outputs)];
        pack(&w, inputs, outputs, &mut packed);
        // What lies between rows is neither read nor written.
        let mut wide = vec![f32::NAN; rows * x_stride];
        for r in 0..rows {
            wide[r * x_stride..][..inputs].copy_from_slice(&x[r * inputs..][..inputs]);
        }
        let mut y = vec![7.5; rows * y_stride];
        let mut z = vec![0.0; rows * outputs];
        dense(&wide, x_stride, &packed, start, inputs, outputs, activation, &mut y, y_stride, rows, skip);
        dense_naive(&x, &w, start, inputs, outputs, activation, &mut z);
        for r in 0..rows {
            prop_assert_eq!(bits(&y[r * y_stride..][..outputs]), bits(&z[r * outputs..][..outputs]));
            prop_assert!(y[r * y_stride + outputs..(r + 1) * y_stride].iter().all(|&gap| gap == 7.5));
        }
    }
}

proptest! {
    #[test]
    fn scaled_weights_equal_the_packed_matrix_bit_for_bit(
        groups in 1usize..6, part in 1usize..14, inputs in 0usize..7, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let outputs = groups * part;
        let scale = random.values(groups * inputs);
        let (w, v) = (random.values(inputs * part), random.values(inputs * part));
        let matrix: Vec<f32> = (0..inputs * outputs)
            .map(|i| {
                let (k, column) = (i / outputs, i % outputs);
                let (group, at) = (column / part, k * part + column % part);
                scale[group * inputs + k] * w[at] + v[at]
            })
            .collect();
        let mut packed = vec![f32::NAN; packed_len(inputs, outputs)];
        let mut expected = packed.clone();
        pack_scaled(&scale, &w, &v, groups, inputs, outputs, &mut packed);
        pack(&matrix, inputs, outputs, &mut expected);
        prop_assert_eq!(bits(&packed), bits(&expected));
    }
}

/// The bits do not tell: whether zeros are skipped where they are many, and looked for no further where they are few.
#[test]
fn zeros_are_skipped_where_they_are_many() {
    let (inputs, outputs, rows) = (64, 16, 300);
    let packed = vec![1.0; packed_len(inputs, outputs)];
    let skips = |every: usize, dense_from: usize| {
        let of = |i: usize| f32::from(i.is_multiple_of(every) || i / inputs >= dense_from);
        let x: Vec<f32> = (0..rows * inputs).map(of).collect();
        let mut y = vec![0.0; rows * outputs];
        let outputs = Outputs::new(Start::default(), outputs, Activation::None, &mut y, outputs, rows);
        Layer { x: &x, x_stride: inputs, packed: &packed, inputs, outputs }.skips(rows, LANES)
    };
    assert_eq!([skips(3, rows), skips(10, rows)], [rows; 2]);
    assert_eq!(skips(1, rows), 0, "nothing is 0");
    assert_eq!(skips(2, rows), 0, "half of it is, for few columns");
    assert_eq!(skips(10, 200), 128, "from the 200th on no row has a 0, and 128 are marked at once");
}

#[test]
fn a_row_does_not_see_its_neighbours() {
    for outputs in [1, 3, 13, 16, 36] {
        let inputs = 5;
        let w: Vec<f32> = (0..inputs * outputs).map(|i| i as f32 * 0.37 - 2.0).collect();
        let mut packed = vec![0.0; packed_len(inputs, outputs)];
        pack(&w, inputs, outputs, &mut packed);
        let mut x = vec![0.25; 7 * inputs];
        x[..inputs].fill(f32::NAN);
        let run = |x: &[f32], rows: usize| {
            let mut y = vec![0.0; rows * outputs];
            dense(
                x,
                inputs,
                &packed,
                Start::default(),
                inputs,
                outputs,
                Activation::Relu,
                &mut y,
                outputs,
                rows,
                false,
            );
            y
        };
        let (y, alone) = (run(&x, 7), run(&x[inputs..2 * inputs], 1));
        for row in 1..7 {
            assert_eq!(bits(&y[row * outputs..(row + 1) * outputs]), bits(&alone));
        }
        assert!(y[..outputs].iter().all(|v| v.is_nan()), "Relu keeps NaN");
    }
}

/// Rows so long that marks are kept of one at a time, or of none.
#[test]
fn zeros_of_long_rows_are_skipped_to_the_same_bits() {
    let (rows, sparse, outputs) = (12, 5, 16);
    let mut random = Random::new(7);
    for inputs in [1030, 8192, 8200] {
        let mut x = random.values(rows * inputs);
        // The last rows have none: a tile of four, of two and of one.
        for x in &mut x[..sparse * inputs] {
            *x *= f32::from(random.below(4) == 0);
        }
        let w = random.values(inputs * outputs);
        let mut packed = vec![0.0; packed_len(inputs, outputs)];
        pack(&w, inputs, outputs, &mut packed);
        for rows in [sparse, rows] {
            let (mut y, mut z) = (vec![0.0; rows * outputs], vec![0.0; rows * outputs]);
            let (start, none) = (Start::default(), Activation::None);
            dense(&x, inputs, &packed, start, inputs, outputs, none, &mut y, outputs, rows, true);
            dense_naive(&x, &w, start, inputs, outputs, none, &mut z);
            assert_eq!(bits(&y), bits(&z), "{inputs} {rows}");
        }
    }
}
