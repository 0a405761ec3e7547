//! Small weights: each form compiles, is as small as it says, scores within the error that it reports, and is refused
//! where a score moves too far or a bundle was tampered with.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use ranklet::ErrorKind;
use ranklet::bundle::{Bundle, write};
use ranklet::compile::{Report, SmallWeights, Spec, Storage, WeightForm, compile_onnx, compile_spec};
use ranklet::engine::{Data, Op, Tensor, Tensors};
use ranklet::ranker::Ranker;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn onnx() -> Vec<u8> {
    std::fs::read(root().join("tests/fixtures/mlp_wide.onnx")).unwrap()
}

fn compiled(form: WeightForm) -> (Vec<u8>, Report) {
    compile_onnx("m", &onnx(), &Default::default(), None, Storage { form, ..Storage::default() }, None).unwrap()
}

fn small(form: WeightForm) -> (Vec<u8>, SmallWeights) {
    let (bytes, report) = compiled(form);
    (bytes, report.weights.expect("smaller weights were asked for"))
}

const SMALL: [WeightForm; 3] = [WeightForm::F16, WeightForm::BF16, WeightForm::Int8];

/// Rows of both signs and of several sizes.
fn rows(n: usize, width: usize) -> Tensors {
    let mut state = 7u32;
    let cell = |i: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 * [1.0, 0.1, 4.0][i / width % 3] - [1.0, 0.05, 2.0][i / width % 3]
    };
    Tensors::from([("x".to_string(), Tensor::f32(&[n, width], (0..n * width).map(cell).collect()))])
}

fn scores(bundle: &[u8], inputs: &Tensors) -> Vec<f32> {
    let mut ranker = Ranker::open(bundle).unwrap();
    let outputs = ranker.scorer().score(|name| inputs.get(name)).unwrap();
    outputs[0].1.as_f32().unwrap().to_vec()
}

fn largest_error(exact: &[f32], small: &[f32]) -> f64 {
    exact.iter().zip(small).fold(0.0, |max, (&e, &s)| {
        let (e, s) = (f64::from(e), f64::from(s));
        let error = (e - s).abs() / if e.abs() > 1.0 { e.abs() } else { 1.0 };
        if error > max { error } else { max }
    })
}

#[test]
fn each_form_is_as_small_as_it_says_and_scores_within_its_bound() {
    let (exact, report) = compiled(WeightForm::F32);
    assert_eq!(report.weights, None);
    let inputs = rows(300, 48);
    let want = scores(&exact, &inputs);
    // Half a step of a weight: 2^-11, 2^-8 of it, 1/254 of its column's greatest. Two layers and a sigmoid's slope of
    // 1/4 leave less.
    for (form, bound, share) in
        [(WeightForm::F16, 1e-3, 0.55), (WeightForm::BF16, 8e-3, 0.55), (WeightForm::Int8, 1e-2, 0.35)]
    {
        let (bytes, small) = small(form);
        assert_eq!(small.form, form);
        assert!((small.bytes as f64) < share * small.bytes_f32 as f64, "{small:?}");
        let saved = exact.len() as i64 - bytes.len() as i64;
        let said = small.bytes_f32 as i64 - small.bytes as i64;
        assert!((saved - said).abs() < 1024, "{form:?}: {saved} bytes saved, {said} said");
        let error = largest_error(&want, &scores(&bytes, &inputs));
        assert!(error > 0.0 && error < bound, "{form:?}: {error}");
        assert!(small.largest_error > 0.0 && small.largest_error < bound, "{small:?}");
        assert!((0.0..0.01).contains(&small.ndcg_loss), "{small:?}");
    }
}

#[test]
fn narrow_layers_stay_floats_and_few_weights_as_they_are() {
    let (bytes, small) = small(WeightForm::Int8);
    // 48 -> 64 in integers, 64 -> 16 too narrow for them, 16 -> 1 too few.
    assert_eq!((small.int8, small.half, small.f32), (1, 1, 1));
    assert_eq!(small.bytes, 48 * 64 + 4 * 64 + 2 * 64 * 16 + 4 * 16);
    let bundle = Bundle::read(&bytes).unwrap();
    let layers: Vec<_> = Ranker::open(&bytes).unwrap().manifest().plan.steps.iter().map(|s| s.op.clone()).collect();
    let forms: Vec<_> = layers
        .iter()
        .filter_map(|op| match op {
            Op::Dense { weights: Some(w), scales, .. } => Some((&bundle.tensors[w].data, scales.is_some())),
            _ => None,
        })
        .collect();
    assert!(matches!(forms[..], [(Data::I8(_), true), (Data::F16(_), false), (Data::F32(_), false)]));
}

#[test]
fn a_score_that_moves_too_far_is_refused_unless_the_specification_allows_it() {
    for form in SMALL {
        let (_, small) = small(form);
        let compile =
            |tolerance| compile_onnx("m", &onnx(), &Default::default(), None, Storage { form, tolerance }, None);
        let error = compile(small.largest_error * 0.99).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::GoldenMismatch);
        assert!(error.message().contains("weights_tolerance") && error.message().contains(form.name()), "{error}");
        assert!(compile(small.largest_error).is_ok());
    }
    let error = Storage::default().with(None, Some(f64::NAN)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SpecInvalid);
}

#[test]
fn the_specification_chooses_and_the_bundle_opens_and_repeats() {
    let folder = root().join("models/ads-recs");
    let text = std::fs::read_to_string(folder.join("spec.toml")).unwrap();
    let with = |line: &str| text.replacen("[model]\n", &format!("[model]\n{line}\n"), 1);
    let read = |path: &str| Ok(std::fs::read(folder.join(path)).unwrap());
    let compile = |text: &str| compile_spec(&Spec::parse(text)?, &read, None, None);
    // A forest has no weights to store in fewer bits: its scores stay what they are.
    let (plain, _) = compile(&text).unwrap();
    let (bytes, report) = compile(&with("weights = \"int8\"")).unwrap();
    let small = report.weights.unwrap();
    assert_eq!((small.int8, small.half, small.largest_error, small.ndcg_loss), (0, 0, 0.0, 0.0));
    assert!(plain == bytes);
    for (line, word) in [("weights = \"int4\"", "int8"), ("weights_tolerance = -1.0", "weights_tolerance")] {
        let error = compile(&with(line)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SpecInvalid, "{line}");
        assert!(error.message().contains(word), "{error}");
    }
    for form in SMALL {
        assert_eq!(compiled(form).0, compiled(form).0);
    }
}

#[test]
fn a_tampered_scale_or_weight_is_refused_at_open() {
    let (bytes, _) = small(WeightForm::Int8);
    let stored = Bundle::read(&bytes).unwrap();
    let named = |end: &str| stored.tensors.keys().find(|name| name.ends_with(end)).unwrap().clone();
    let opened = |name: &str, change: &dyn Fn(&mut Tensor)| {
        let mut tensors = stored.tensors.clone();
        change(tensors.get_mut(name).unwrap());
        Ranker::open(&write(&tensors, Some(stored.manifest_json()))).map(|_| ()).map_err(|e| e.kind())
    };
    let (scales, weights) = (named(".scales"), named(".int8"));
    assert_eq!(opened(&scales, &|_| {}), Ok(()), "written again as it was");
    let scale = |change: fn(&mut Vec<f32>)| {
        move |tensor: &mut Tensor| {
            let mut v = tensor.as_f32().expect("scales are f32").to_vec();
            change(&mut v);
            *tensor = Tensor::f32(&[v.len()], v);
        }
    };
    assert_eq!(opened(&scales, &scale(|v| v[3] *= 1.5)), Err(ErrorKind::SelfTestFailed));
    assert_eq!(opened(&scales, &scale(|v| v[3] = f32::NAN)), Err(ErrorKind::SelfTestFailed));
    assert_eq!(opened(&scales, &scale(|v| v.truncate(63))), Err(ErrorKind::BundleCorrupt));
    assert_eq!(opened(&scales, &|t| t.data = Data::I32(vec![1; 64].into())), Err(ErrorKind::BundleCorrupt));
    let flip = |tensor: &mut Tensor| {
        let Data::I8(v) = &mut tensor.data else { panic!("weights are integers") };
        v.iter_mut().step_by(64).for_each(|w| *w = -*w);
    };
    assert_eq!(opened(&weights, &flip), Err(ErrorKind::SelfTestFailed));
    assert_eq!(opened(&weights, &|t| t.data = Data::F32(vec![0.5; 48 * 64].into())), Err(ErrorKind::BundleCorrupt));
    let short = |t: &mut Tensor| *t = Tensor { dims: vec![47, 64], data: Data::I8(vec![1; 47 * 64]) };
    assert_eq!(opened(&weights, &short), Err(ErrorKind::BundleCorrupt));

    // Integers without their scales mean nothing.
    let manifest = stored.manifest_json().replace(&format!("\"{scales}\""), "null");
    assert_ne!(manifest, stored.manifest_json());
    let error = Ranker::open(&write(&stored.tensors, Some(&manifest))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BundleCorrupt);
}

#[test]
fn a_rows_bits_depend_on_neither_the_others_nor_their_number() {
    let (bytes, _) = small(WeightForm::Int8);
    let inputs = rows(131, 48);
    let all = scores(&bytes, &inputs);
    let x = inputs["x"].as_f32().unwrap();
    for row in [0, 1, 63, 64, 129, 130] {
        let one = Tensor::f32(&[1, 48], x[row * 48..(row + 1) * 48].to_vec());
        let alone = scores(&bytes, &Tensors::from([("x".to_string(), one)]));
        assert_eq!(alone[0].to_bits(), all[row].to_bits(), "row {row}");
    }
}
