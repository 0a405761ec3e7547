use super::*;

/// The module `f64` hides the type's name.
type Double = ::core::primitive::f64;
/// Name, scalar, slice, the same by libm in f64, and the stated error in ulp.
type Case = (&'static str, fn(f32) -> f32, fn(&mut [f32]), fn(Double) -> Double, Double);

fn exact_sigmoid(x: Double) -> Double {
    if x < 0.0 { libm::exp(x) / (1.0 + libm::exp(x)) } else { 1.0 / (1.0 + libm::exp(-x)) }
}

fn exact_softplus(x: Double) -> Double {
    (if x > 0.0 { x } else { 0.0 }) + libm::log1p(libm::exp(-x.abs()))
}

const CASES: [Case; 6] = [
    ("exp", exp, exp_slice, libm::exp, 1.1),
    ("sigmoid", sigmoid, sigmoid_slice, exact_sigmoid, 2.4),
    ("tanh", tanh, tanh_slice, libm::tanh, 1.5),
    ("ln", ln, ln_slice, libm::log, 1.0),
    ("softplus", softplus, softplus_slice, exact_softplus, 1.8),
    ("erf", erf, erf_slice, libm::erf, 1.7),
];

/// Distance in units of the last place of the correctly rounded value.
fn ulps(got: f32, exact: Double) -> Double {
    let nearest = exact as f32;
    if nearest.is_nan() || got.is_nan() || nearest.is_infinite() || got.is_infinite() {
        let same = nearest.is_nan() && got.is_nan() || nearest == got;
        return if same { 0.0 } else { Double::INFINITY };
    }
    let gap = Double::from(f32::from_bits(nearest.abs().to_bits() + 1)) - Double::from(nearest.abs());
    (Double::from(got) - exact).abs() / gap
}

/// Every `step`-th f32 and the neighbours of every power of two, of both signs.
fn sample(step: usize) -> Vec<f32> {
    let edges = (0..=255u32).flat_map(|e| [(e << 23).wrapping_sub(1), e << 23, (e << 23) + 1]);
    let edges = edges.flat_map(|bits| [bits, bits ^ 0x8000_0000]);
    edges.chain((0..=u32::MAX).step_by(step)).map(f32::from_bits).collect()
}

fn sampled(step: usize) {
    let x = sample(step);
    for (name, _, slice, exact, bound) in CASES {
        let mut y = x.clone();
        slice(&mut y);
        let mut worst = (0.0, 0.0);
        for (&x, &y) in x.iter().zip(&y) {
            let error = ulps(y, exact(Double::from(x)));
            if error > worst.0 {
                worst = (error, x);
            }
        }
        println!("{name}: {:.3} ulp at {:e}", worst.0, worst.1);
        assert!(worst.0 <= bound, "{name}: {} ulp at {:e}", worst.0, worst.1);
    }
}

/// `RANKLET_SWEEP=13 cargo test --release -p ranklet-kernels stated -- --nocapture` prints what the errors are stated
/// from: a thirteenth of all values, a minute.
#[test]
fn functions_are_within_their_stated_errors() {
    let step = std::env::var("RANKLET_SWEEP").ok().and_then(|step| step.parse().ok());
    sampled(step.unwrap_or(20_011));
}

#[test]
fn a_slice_has_the_bits_of_its_scalar_whatever_its_length() {
    let x = sample(50_021);
    for (name, scalar, slice, _, _) in CASES {
        let mut y = x.clone();
        slice(&mut y);
        // The same elements in other lanes, and in a tail.
        let mut shifted = x[1..].to_vec();
        slice(&mut shifted);
        let mut tail = [0.0; 3];
        for (i, (&x, &y)) in x.iter().zip(&y).enumerate() {
            let canonical = |v: f32| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() };
            assert_eq!(canonical(scalar(x)), canonical(y), "{name}({x:e})");
            if i > 0 {
                assert_eq!(canonical(shifted[i - 1]), canonical(y), "{name}({x:e}) in another lane");
            }
            tail[2] = x;
            slice(&mut tail);
            assert_eq!(canonical(tail[2]), canonical(y), "{name}({x:e}) in a tail");
        }
    }
}

#[test]
fn activations_are_their_formulas() {
    let x = sample(200_003);
    let check = |name: &str, slice: &dyn Fn(&mut [f32]), formula: &dyn Fn(f32) -> f32| {
        let mut y = x.clone();
        slice(&mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let expected = formula(x);
            assert!(y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan(), "{name}({x:e}) is {y:e}");
        }
    };
    let half = std::f32::consts::FRAC_1_SQRT_2;
    check("relu", &relu_slice, &|x| if x < 0.0 { 0.0 } else { x });
    check("leaky", &|y| leaky_relu_slice(y, 0.1), &|x| if x < 0.0 { 0.1 * x } else { x });
    check("elu", &|y| elu_slice(y, 0.5), &|x| if x < 0.0 { 0.5 * (exp(x) - 1.0) } else { x });
    check("silu", &silu_slice, &|x| x * sigmoid(x));
    check("gelu", &gelu_slice, &|x| 0.5 * x * (1.0 + erf(x * half)));
    check("gelu_tanh", &gelu_tanh_slice, &|x| 0.5 * x * (1.0 + tanh(0.797_884_6 * (x + 0.044_715 * x * x * x))));
}

#[test]
fn edges() {
    assert_eq!(exp(0.0), 1.0);
    assert_eq!(exp(f32::INFINITY), f32::INFINITY);
    assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    assert_eq!(exp(89.0), f32::INFINITY);
    let denormal = exp(-100.0);
    assert!(denormal > 0.0 && denormal < f32::MIN_POSITIVE);
    assert_eq!((sigmoid(f32::NEG_INFINITY), sigmoid(0.0), sigmoid(f32::INFINITY)), (0.0, 0.5, 1.0));
    assert_eq!((tanh(f32::NEG_INFINITY), tanh(f32::INFINITY)), (-1.0, 1.0));
    assert_eq!((erf(f32::NEG_INFINITY), erf(-0.0).to_bits(), erf(9.0)), (-1.0, (-0.0f32).to_bits(), 1.0));
    assert_eq!((ln(0.0), ln(-0.0), ln(1.0)), (f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0));
    assert!(ln(-1e-45).is_nan() && ln(f32::NEG_INFINITY).is_nan());
    assert_eq!(ln(f32::INFINITY), f32::INFINITY);
    assert_eq!(softplus(200.0), 200.0);
    assert_eq!(softplus(f32::NEG_INFINITY), 0.0);
    for (name, f, ..) in CASES {
        assert!(f(f32::NAN).is_nan(), "{name}");
    }
}

#[test]
fn sigmoid_is_symmetric() {
    for i in 0..1000 {
        let x = i as f32 * 0.02;
        assert!((sigmoid(x) + sigmoid(-x) - 1.0).abs() <= f32::EPSILON);
    }
}

#[test]
fn exp2_is_exact_at_whole_numbers_and_close_elsewhere() {
    for n in -1022..=1023 {
        assert_eq!(f64::exp2(Double::from(n)), libm::ldexp(1.0, n));
    }
    for i in -20_000..20_000 {
        let x = Double::from(i) * 0.011;
        let exact = libm::exp2(x);
        assert!((f64::exp2(x) - exact).abs() <= exact * 2.0 * Double::EPSILON, "{x}");
    }
    assert_eq!(f64::exp2(-5000.0), 0.0);
}

#[test]
fn min_and_max_keep_nan_and_order_zeros_by_argument() {
    assert!(min(f32::NAN, 1.0).is_nan() && min(1.0, f32::NAN).is_nan());
    assert!(max(f32::NAN, 1.0).is_nan() && max(1.0, f32::NAN).is_nan());
    assert_eq!(max(-0.0, 0.0).to_bits(), (-0.0f32).to_bits());
    assert_eq!(max(0.0, -0.0).to_bits(), 0.0f32.to_bits());
}

#[test]
fn a_power_of_a_half_has_the_bits_of_libm() {
    let special = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0, 1.0, -1.0, f32::MAX, f32::MIN, -1e-45];
    let step = (u32::MAX / 100_003) as usize;
    for x in special.into_iter().chain((0..=u32::MAX).step_by(step).map(f32::from_bits)) {
        let (ours, theirs) = (pow(x, 0.5), libm::powf(x, 0.5));
        assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{x:e}");
    }
    assert_eq!((pow(4.0, -0.5), pow(2.0, 3.0)), (0.5, 8.0));
}
