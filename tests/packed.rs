//! Weights that are stored as the kernel reads them, and used where they lie in the file.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use ranklet::ErrorKind;
use ranklet::bundle::{Bundle, write};
use ranklet::compile::{Storage, compile_onnx};
use ranklet::engine::{Op, Plan, Tensor, Tensors};
use ranklet::scorer::Scorer;
use ranklet_kernels::dense;
use serde_json::{Value, json};

/// Layers of 48 -> 64 -> 16 -> 1: the first is large enough.
fn bundle() -> Bundle {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mlp_wide.onnx");
    let onnx = std::fs::read(path).unwrap();
    Bundle::read(&compile_onnx("m", &onnx, &Default::default(), None, Storage::default(), None).unwrap().0).unwrap()
}

const ROWS: usize = 70;

/// Of inputs of which so many in ten are 0.
fn bits(bytes: &[u8], zeros: usize) -> Vec<u32> {
    let value = |i: usize| if i * 7 % 10 < zeros { 0.0 } else { (i * 37 % 101) as f32 / 50.0 - 1.0 };
    let x = (0..ROWS * 48).map(value).collect();
    let inputs = Tensors::from([("x".to_owned(), Tensor::f32(&[ROWS, 48], x))]);
    let outputs = Scorer::open(bytes).unwrap().engine.score(|name| inputs.get(name)).unwrap();
    outputs[0].1.as_f32().unwrap().iter().map(|v| v.to_bits()).collect()
}

fn manifest(bundle: &Bundle) -> Value {
    serde_json::from_str(bundle.manifest_json()).unwrap()
}

fn matrices(plan: &Plan) -> Vec<(String, usize, usize)> {
    let of = |op: &Op| match op {
        Op::Dense { weights: Some(name), inputs, outputs, .. } => {
            Some((name.clone(), *inputs as usize, *outputs as usize))
        }
        _ => None,
    };
    plan.steps.iter().filter_map(|step| of(&step.op)).collect()
}

/// The same bundle with its packed weights row by row, as an older compiler wrote them.
fn unpacked(bundle: &Bundle) -> Vec<u8> {
    let mut tensors = bundle.tensors.clone();
    let scorer = Scorer::open(&write(&tensors, Some(bundle.manifest_json()))).unwrap();
    for (name, inputs, outputs) in matrices(scorer.engine.plan()) {
        let tensor = tensors.get_mut(&name).unwrap();
        if tensor.dims.len() > 1 {
            continue;
        }
        // Where each element goes.
        let places: Vec<f32> = (1..=inputs * outputs).map(|i| i as f32).collect();
        let mut packed = vec![0.0; dense::packed_len(inputs, outputs)];
        dense::pack(&places, inputs, outputs, &mut packed);
        let mut weights = vec![0.0; inputs * outputs];
        for (place, weight) in packed.iter().zip(tensor.as_f32().unwrap()) {
            if *place > 0.0 {
                weights[*place as usize - 1] = *weight;
            }
        }
        *tensor = Tensor::f32(&[inputs, outputs], weights);
    }
    let mut manifest = manifest(bundle);
    manifest["minor"] = json!(0);
    write(&tensors, Some(&manifest.to_string()))
}

#[test]
fn large_matrices_are_packed_and_score_the_bits_of_those_that_are_not() {
    let bundle = bundle();
    let bytes = write(&bundle.tensors, Some(bundle.manifest_json()));
    let plan = Scorer::open(&bytes).unwrap();
    let ranks: Vec<usize> =
        matrices(plan.engine.plan()).iter().map(|(name, ..)| bundle.tensors[name].dims.len()).collect();
    assert_eq!((&ranks[..], &manifest(&bundle)["minor"]), (&[1, 2, 2][..], &json!(2)));
    let rows = unpacked(&bundle);
    assert_ne!(bytes, rows);
    // What is times 0 is left out where weights are packed, and added where they are not.
    for zeros in [0, 5, 9, 10] {
        assert_eq!(bits(&bytes, zeros), bits(&rows, zeros), "{zeros} of 10");
    }
}

/// In a file weights begin where a vector may.
#[test]
fn packed_weights_lie_at_multiples_of_a_vector() {
    let bundle = bundle();
    let packed: Vec<&String> = bundle.tensors.keys().filter(|name| bundle.tensors[name].dims == [48 * 64]).collect();
    assert_eq!(packed.len(), 1);
    // Whatever the header's length.
    for length in 0..32 {
        let mut manifest = manifest(&bundle);
        manifest["note"] = json!("x".repeat(length));
        let bytes = write(&bundle.tensors, Some(&manifest.to_string()));
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let entries: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        let start = entries[packed[0]]["data_offsets"][0].as_u64().unwrap() as usize;
        assert!((8 + header + start).is_multiple_of(16), "{length}");
        // It stays what every reader of the format takes.
        assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), bundle.tensors.len());
    }
}

#[test]
fn packed_weights_that_do_not_fit_are_refused() {
    let bundle = bundle();
    let name = bundle.tensors.keys().find(|name| name.ends_with(".weights") && bundle.tensors[name].dims.len() == 1);
    let name = name.unwrap().clone();
    let opened = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = bundle.tensors.clone();
        change(&mut tensors);
        Scorer::open(&write(&tensors, Some(bundle.manifest_json()))).map(|_| ()).map_err(|e| e.kind())
    };
    assert_eq!(opened(&|_| {}), Ok(()));
    let len = 48 * 64;
    for dims in [&[48, 64][..], &[len, 1], &[1, len]] {
        // The same elements, said to stand row by row: the self-test finds them.
        let got = opened(&|t| t.get_mut(&name).unwrap().dims = dims.to_vec());
        assert_eq!(got, Err(ErrorKind::SelfTestFailed), "{dims:?}");
    }
    for len in [0, len - 1, len + 4, len + 48] {
        let got = opened(&|t| *t.get_mut(&name).unwrap() = Tensor::f32(&[len], vec![0.5; len]));
        assert_eq!(got, Err(ErrorKind::BundleCorrupt), "{len} elements");
    }
}
