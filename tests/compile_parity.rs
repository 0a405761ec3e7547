//! Real exporters' graphs: the plan against the graph's own definition and against ONNX Runtime
//! at one thread. `tests/fixtures/make_fixtures.py` writes the files.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use ranklet::bundle::read_tensors;
use ranklet::compile::{
    CalibratorForm, Comparison, InputHints, Lowered, check_inputs, check_rows, compare, lower, recognise_calibrator,
};
use ranklet::engine::plan::Trees;
use ranklet::engine::{Data, Interpreter, Op, Tensor, Tensors};
use ranklet::{ErrorKind, Result};
use std::collections::BTreeMap;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/{name}", std::env::var("CARGO_MANIFEST_DIR").unwrap())).unwrap()
}

fn lowered(name: &str) -> Lowered {
    lower(&file(&format!("{name}.onnx")), "plan.", &BTreeMap::new()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The plan's outputs by the engine.
fn plan_outputs(lowered: &Lowered, inputs: &Tensors) -> Tensors {
    let mut engine = Interpreter::new(lowered.plan.clone(), &lowered.tensors).unwrap();
    engine.score(|name| inputs.get(name)).unwrap().into_iter().collect()
}

/// ONNX Runtime's inputs and outputs.
fn golden(name: &str) -> (Tensors, Tensors) {
    let all = read_tensors(&file(&format!("{name}.safetensors"))).unwrap();
    let side =
        |prefix: &str| all.iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_string(), v.clone()))).collect();
    (side("in."), side("out."))
}

/// The plan against the graph's definition on built inputs.
fn against_oracle(lowered: &Lowered) -> Result<Comparison> {
    let inputs = check_inputs(lowered, &InputHints::default(), 1);
    let expected = lowered.oracle().run(&inputs, check_rows(&inputs, &lowered.plan)).unwrap();
    compare(&expected, &plan_outputs(lowered, &inputs), lowered)
}

#[test]
fn every_fixture_agrees_with_its_graph_and_with_onnx_runtime() {
    for name in [
        "lgbm_small",
        "lgbm_binary",
        "lgbm_binary_zipmap",
        "lgbm_multiclass",
        "mlp",
        "operators",
        "two_inputs",
        "din_gate",
        "din_towers",
        "list_attention",
        "list_pairs",
        "skl_mlp_binary",
        "skl_mlp_multi",
        "skl_logistic",
        "isotonic",
        "platt",
        "platt_gemm",
        "temperature",
        "beta",
        "trees_sum_none",
        "trees_sum_softmax",
        "trees_sum_logistic",
        "trees_average_none",
        "trees_min_none",
        "trees_max_none",
    ] {
        let lowered = lowered(name);
        let (inputs, outputs) = golden(name);
        let seen = compare(&outputs, &plan_outputs(&lowered, &inputs), &lowered)
            .unwrap_or_else(|e| panic!("{name}, ONNX Runtime: {e}"));
        assert!(seen.elements > 0, "{name}: nothing was compared");
        let probability_domain = matches!(name, "temperature" | "beta");
        if !probability_domain {
            against_oracle(&lowered).unwrap_or_else(|e| panic!("{name}, graph: {e}"));
        }
    }
}

/// The generator of `make_fixtures.py`, cell by cell.
fn drawn_rows(lowered: &Lowered, n: usize, width: usize, seed: u64) -> Tensor {
    let Some(Op::Trees(trees)) = lowered.plan.steps.iter().map(|s| &s.op).find(|op| matches!(op, Op::Trees(_))) else {
        panic!("no trees")
    };
    let (feature, threshold) =
        (lowered.tensors[&trees.feature].as_i32().unwrap(), lowered.tensors[&trees.threshold].as_f32().unwrap());
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(1), -1e-40, 0.0, -0.0, f32::MAX];
    let splits: Vec<Vec<f32>> = (0..width)
        .map(|c| {
            let mut own: Vec<f32> =
                feature.iter().zip(threshold).filter(|(f, _)| **f as usize == c).map(|(_, t)| *t).collect();
            own.sort_by(f32::total_cmp);
            own.dedup();
            own
        })
        .collect();
    let mut state = seed;
    let cells = (0..n * width)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (kind, pick, own) = (state >> 60, (state >> 32) as usize & 0xfff_ffff, &splits[i % width]);
            match kind {
                0 | 1 => special[pick % special.len()],
                2..=7 if !own.is_empty() => own[pick % own.len()],
                _ => (pick % 8192) as f32 / 1024.0 - 4.0,
            }
        })
        .collect();
    Tensor::f32(&[n, width], cells)
}

/// 10,000 rows with missing values, infinities, denormals and values exactly on a split.
#[test]
fn ten_thousand_rows_of_lightgbm_are_onnx_runtimes_bits() {
    let lowered = lowered("lgbm_regressor");
    let (_, outputs) = golden("lgbm_regressor");
    let inputs = Tensors::from([("X".to_string(), drawn_rows(&lowered, 10_000, 8, 1))]);
    let got = plan_outputs(&lowered, &inputs);
    let (want, have) = (outputs["variable"].as_f32().unwrap(), got["variable"].as_f32().unwrap());
    assert_eq!(want.len(), 10_000);
    for (row, (w, h)) in want.iter().zip(have).enumerate() {
        assert_eq!(w.to_bits(), h.to_bits(), "row {row}: {w} {h}");
    }
    assert_eq!(lowered.oracle().run(&inputs, 10_000).unwrap()["variable"].as_f32().unwrap(), have);
    against_oracle(&lowered).unwrap();
}

/// Alters one element of a tensor of the plan.
fn alter(lowered: &mut Lowered, name: &str, change: impl FnOnce(&mut Data)) {
    change(&mut lowered.tensors.get_mut(name).unwrap().data);
}

/// Whether a value of the node's own column can come to the node (LightGBM's trees: `<=` alone).
fn arrives(lowered: &Lowered, trees: &Trees, node: usize, value: f32) -> bool {
    let ints = |name: &str| lowered.tensors[name].as_i32().unwrap();
    let (feature, yes, no) = (ints(&trees.feature), ints(&trees.yes), ints(&trees.no));
    let (threshold, mode) =
        (lowered.tensors[&trees.threshold].as_f32().unwrap(), lowered.tensors[&trees.mode].as_u8().unwrap());
    let mut at = node as i32;
    while let Some(parent) = (0..feature.len()).find(|&p| yes[p] == at || no[p] == at) {
        let takes_yes = value <= threshold[parent] || (value.is_nan() && mode[parent] & 0x80 != 0);
        if feature[parent] == feature[node] && takes_yes != (yes[parent] == at) {
            return false;
        }
        at = parent as i32;
    }
    true
}

#[test]
fn one_wrong_leaf_or_split_is_refused() {
    let inputs = check_inputs(&lowered("lgbm_small"), &InputHints::default(), 1);
    let rows = check_rows(&inputs, &lowered("lgbm_small").plan);
    let expected = lowered("lgbm_small").oracle().run(&inputs, rows).unwrap();
    let check = |lowered: &Lowered| compare(&expected, &plan_outputs(lowered, &inputs), lowered);
    check(&lowered("lgbm_small")).unwrap();
    let plan = lowered("lgbm_small").plan;
    let Some(Op::Trees(trees)) = plan.steps.iter().map(|s| &s.op).find(|op| matches!(op, Op::Trees(_))) else {
        panic!("no trees")
    };
    let count = |name: &str| lowered("lgbm_small").tensors[name].dims[0];
    let refused = |what: String, lowered: &Lowered| {
        let error = check(lowered).expect_err(&what);
        assert_eq!(error.kind(), ErrorKind::GoldenMismatch, "{what}");
    };
    for leaf in 0..count(&trees.weight) {
        let mut wrong = lowered("lgbm_small");
        alter(&mut wrong, &trees.weight, |data| {
            if let Data::F32(w) = data {
                w[leaf] = -w[leaf];
            }
        });
        refused(format!("leaf {leaf}"), &wrong);
    }
    for node in 0..count(&trees.threshold) {
        type Change = fn(&mut f32);
        let changes: [Change; 3] = [|t| *t = t.next_up(), |t| *t = t.next_down(), |t| *t += 0.5];
        for (i, change) in changes.into_iter().enumerate() {
            let mut wrong = lowered("lgbm_small");
            alter(&mut wrong, &trees.threshold, |data| {
                if let Data::F32(t) = data {
                    change(&mut t[node]);
                }
            });
            refused(format!("threshold {node}, change {i}"), &wrong);
        }
        for bits in [0x80, 1] {
            // Where no missing value can arrive, its direction is no part of the function.
            if bits == 0x80 && !arrives(&lowered("lgbm_small"), trees, node, f32::NAN) {
                continue;
            }
            let mut wrong = lowered("lgbm_small");
            alter(&mut wrong, &trees.mode, |data| {
                if let Data::U8(m) = data {
                    m[node] ^= bits;
                }
            });
            refused(format!("mode {node}, bits {bits}"), &wrong);
        }
        let mut wrong = lowered("lgbm_small");
        let yes = wrong.tensors[&trees.yes].clone();
        let no = wrong.tensors[&trees.no].clone();
        if let (Data::I32(yes), Data::I32(no)) = (yes.data, no.data) {
            alter(&mut wrong, &trees.yes, |data| {
                if let Data::I32(v) = data {
                    v[node] = no[node]
                }
            });
            alter(&mut wrong, &trees.no, |data| {
                if let Data::I32(v) = data {
                    v[node] = yes[node]
                }
            });
        }
        refused(format!("sides of {node}"), &wrong);
    }
}

/// Through a binary classifier's probabilities too: every seventh leaf and split of 40 trees.
#[test]
fn a_wrong_leaf_shows_in_probabilities() {
    let mut wrong = lowered("lgbm_binary");
    let inputs = check_inputs(&wrong, &InputHints::default(), 1);
    let rows = check_rows(&inputs, &wrong.plan);
    assert!((1000..20_000).contains(&rows), "{rows} rows");
    let expected = wrong.oracle().run(&inputs, rows).unwrap();
    let trees = wrong
        .plan
        .steps
        .iter()
        .find_map(|s| if let Op::Trees(trees) = &s.op { Some(trees.clone()) } else { None })
        .unwrap();
    for (name, factor) in [(&trees.weight, -1.0), (&trees.threshold, 1.000_001)] {
        for at in (0..wrong.tensors[name].dims[0]).step_by(7) {
            let whole = wrong.tensors[name].clone();
            let mut old = 0.0;
            alter(&mut wrong, name, |data| {
                if let Data::F32(v) = data {
                    old = v[at];
                    v[at] = if v[at] == 0.0 { 1e-3 } else { v[at] * factor };
                }
            });
            // A leaf whose sign changes a probability by less than the bound is the same leaf to it; so is a
            // split that an equal one above it has decided.
            let same =
                if factor < 0.0 { old.abs() < 1e-4 } else { old.is_infinite() || !arrives(&wrong, &trees, at, old) };
            let seen = compare(&expected, &plan_outputs(&wrong, &inputs), &wrong);
            assert!(seen.is_err() || same, "{name} {at}: {old}");
            wrong.tensors.insert(name.clone(), whole);
        }
    }
}

#[test]
fn a_wrong_weight_of_a_dense_layer_is_refused() {
    let mut wrong = lowered("mlp");
    against_oracle(&wrong).unwrap();
    let Some(Op::Dense { weights, .. }) =
        wrong.plan.steps.iter().map(|s| s.op.clone()).find(|op| matches!(op, Op::Dense { .. }))
    else {
        panic!("no layer")
    };
    alter(&mut wrong, &weights.unwrap(), |data| {
        if let Data::F32(w) = data {
            w[0] += 0.01;
        }
    });
    assert_eq!(against_oracle(&wrong).unwrap_err().kind(), ErrorKind::GoldenMismatch);
}

#[test]
fn batch_normalisation_bias_and_activation_are_in_the_layer() {
    let plan = lowered("mlp").plan;
    let layers: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|s| {
            if let Op::Dense { bias, activation, .. } = &s.op { Some((bias.is_some(), *activation)) } else { None }
        })
        .collect();
    use ranklet::engine::plan::Unary;
    assert_eq!(layers, [(true, Unary::Relu), (true, Unary::Identity), (true, Unary::Sigmoid)]);
    assert!(!plan.steps.iter().any(|s| matches!(s.op, Op::Binary { .. })));
}

#[test]
fn zipmap_keeps_its_outputs_name_and_labels_are_whole() {
    let lowered = lowered("lgbm_binary_zipmap");
    let ports: Vec<(&str, &[i64])> =
        lowered.plan.outputs.iter().map(|p| (p.name.as_str(), p.dims.as_slice())).collect();
    assert_eq!(ports, [("label", &[-1][..]), ("probabilities", &[-1, 2][..])]);
}

#[test]
fn calibrators_are_recognised() {
    let form = |name: &str| recognise_calibrator(&file(&format!("{name}.onnx"))).unwrap();
    assert_eq!(form("platt"), CalibratorForm::Platt { a: 3.5, b: -1.25 });
    assert_eq!(form("platt_gemm"), CalibratorForm::Platt { a: 2.0, b: 0.5 });
    assert_eq!(form("temperature"), CalibratorForm::Temperature { t: 2.0 });
    assert_eq!(form("beta"), CalibratorForm::Beta { a: 1.5, b: 0.75, c: 0.25 });
    assert_eq!(form("mlp"), CalibratorForm::Plan);
    let CalibratorForm::Isotonic { x, y } = form("isotonic") else { panic!("not isotonic") };
    assert!(x.len() > 5 && x.windows(2).all(|w| w[0] < w[1]) && y.windows(2).all(|w| w[0] <= w[1]));
    let (inputs, outputs) = golden("isotonic");
    for (p, want) in inputs["p"].as_f32().unwrap().iter().zip(outputs["calibrated"].as_f32().unwrap()) {
        let p = f64::from(*p);
        let got = match x.iter().position(|&knot| knot >= p) {
            Some(0) => y[0],
            Some(i) => y[i - 1] + (y[i] - y[i - 1]) * (p - x[i - 1]) / (x[i] - x[i - 1]),
            None => y[y.len() - 1],
        };
        assert!((got - f64::from(*want)).abs() < 1e-5, "{p}: {got} {want}");
    }
}

#[test]
fn everything_unsupported_is_said_at_once() {
    let error = lower(&file("unsupported.onnx"), "", &BTreeMap::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelUnsupported);
    for part in ["`conv` (Conv)", "`odd` (NotAnOperator)", "2 nodes"] {
        assert!(error.message().contains(part), "{part} is not in: {error}");
    }
    for part in ["`fine`", "`over_candidates`"] {
        assert!(!error.message().contains(part), "{part} is in: {error}");
    }
    assert_eq!(lower(b"not a model", "", &BTreeMap::new()).unwrap_err().kind(), ErrorKind::ModelUnsupported);
}

#[test]
fn a_symbol_is_bound_by_name() {
    let onnx = file("symbol.onnx");
    let error = lower(&onnx, "", &BTreeMap::new()).unwrap_err();
    assert!(error.message().contains("--dim seq=VALUE"), "{error}");
    let lowered = lower(&onnx, "", &BTreeMap::from([("seq".to_string(), 5)])).unwrap();
    assert_eq!((&lowered.plan.inputs[0].dims[..], &lowered.plan.outputs[0].dims[..]), (&[-1, 5][..], &[-1][..]));
}

#[test]
fn what_is_no_tree_is_refused() {
    let error = lower(&file("tree_cycle.onnx"), "", &BTreeMap::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelUnsupported);
    assert!(error.message().contains("lies on a cycle"), "{error}");
}

/// Two branches, the first with the second on both sides, whose sides are both the one leaf.
#[test]
fn what_two_nodes_of_a_tree_share_is_there_twice() {
    let lowered = lowered("tree_two_parents");
    let inputs = Tensors::from([("X".to_string(), Tensor::f32(&[3, 1], vec![-1.0, 1.0, f32::NAN]))]);
    assert_eq!(plan_outputs(&lowered, &inputs)["Y"].as_f32(), Some(&[1.0; 3][..]));
    let trees = lowered.plan.steps.iter().find_map(|s| if let Op::Trees(trees) = &s.op { Some(trees) } else { None });
    assert_eq!(lowered.tensors[&trees.unwrap().feature].dims, [3], "three branches, where the file has two");
    against_oracle(&lowered).unwrap();
}

#[test]
fn truncated_models_are_refused_and_never_panic() {
    let whole = file("lgbm_small.onnx");
    for cut in (0..whole.len()).step_by(37) {
        if let Ok(lowered) = lower(&whole[..cut], "", &BTreeMap::new()) {
            panic!("{cut} bytes of {} were taken: {:?}", whole.len(), lowered.plan.outputs);
        }
    }
}

#[test]
fn the_same_bytes_give_the_same_plan_and_check() {
    let (a, b) = (lowered("skl_mlp_multi"), lowered("skl_mlp_multi"));
    assert_eq!(a.plan, b.plan);
    assert_eq!(a.tensors, b.tensors);
    let bits = |l: &Lowered| format!("{:?}", check_inputs(l, &InputHints::default(), 9));
    assert_eq!(bits(&a), bits(&b));
}
