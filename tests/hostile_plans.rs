//! A plan is data from outside: whatever its numbers say, opening it refuses it or what is opened runs. Every number of a
//! compiled plan is a target, one or a few at a time.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use proptest::prelude::*;
use ranklet::ErrorKind;
use ranklet::bundle::{Bundle, write};
use ranklet::compile::{Storage, compile_onnx};
use ranklet::engine::{Data, Tensor, Tensors};
use ranklet::scorer::Scorer;
use serde_json::Value;
use std::sync::OnceLock;

const FIXTURES: [&str; 8] =
    ["din_gate", "din_towers", "list_attention", "operators", "lgbm_small", "two_inputs", "skl_mlp_multi", "mlp_wide"];

struct Compiled {
    tensors: Tensors,
    manifest: Value,
}

fn compiled() -> &'static [Compiled] {
    static ALL: OnceLock<Vec<Compiled>> = OnceLock::new();
    ALL.get_or_init(|| {
        FIXTURES
            .iter()
            .map(|name| {
                let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
                let onnx = std::fs::read(path.join(format!("{name}.onnx"))).unwrap();
                let bytes = compile_onnx(name, &onnx, &Default::default(), None, Storage::default(), None).unwrap().0;
                let bundle = Bundle::read(&bytes).unwrap();
                let manifest = serde_json::from_str(bundle.manifest_json()).unwrap();
                Compiled { manifest, tensors: bundle.tensors }
            })
            .collect()
    })
}

/// Every number of the plan, in order.
fn numbers<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    match value {
        Value::Number(_) => found.push(value),
        Value::Array(items) => items.iter_mut().for_each(|item| numbers(item, found)),
        Value::Object(entries) => entries.iter_mut().for_each(|(_, item)| numbers(item, found)),
        _ => {}
    }
}

/// Words that say how many rows a value has, which are as dangerous as numbers.
fn kinds<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    match value {
        Value::String(word) if ["shared", "candidate", "pair"].contains(&word.as_str()) => found.push(value),
        Value::Array(items) => items.iter_mut().for_each(|item| kinds(item, found)),
        Value::Object(entries) => entries.iter_mut().for_each(|(_, item)| kinds(item, found)),
        _ => {}
    }
}

fn zeros(scorer: &Scorer, rows: usize) -> Tensors {
    let plan = scorer.engine.plan();
    let of = |port: &ranklet::engine::Port| {
        let dims: Vec<usize> =
            port.dims.iter().map(|&d| if d < 0 { rows * d.unsigned_abs() as usize } else { d as usize }).collect();
        let n = dims.iter().product();
        let data = match plan.values[port.value as usize].dtype.name() {
            "f32" => Data::F32(vec![0.5; n].into()),
            "i32" => Data::I32(vec![1; n].into()),
            "i64" => Data::I64(vec![1; n]),
            _ => Data::U8(vec![1; n]),
        };
        (port.name.clone(), Tensor { dims, data })
    };
    plan.inputs.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn a_plan_with_other_numbers_is_refused_or_runs(
        which in 0..FIXTURES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, any::<u32>()), 1..3),
        kind in prop::option::weighted(0.2, (any::<prop::sample::Index>(), 0..3usize)),
        rows in 0usize..70,
    ) {
        let Compiled { tensors, manifest } = &compiled()[which];
        let mut manifest = manifest.clone();
        let plan = manifest.get_mut("plan").unwrap();
        let mut found = Vec::new();
        numbers(plan, &mut found);
        for (at, form, random) in changes {
            let at = at.index(found.len());
            let old = found[at].as_i64().unwrap_or(0);
            *found[at] = match form {
                0 => Value::from(0),
                1 => Value::from(1),
                2 => Value::from(old + 1),
                3 => Value::from(old - 1),
                4 => Value::from(old.wrapping_mul(2)),
                5 => Value::from(u32::MAX),
                6 => Value::from(-1),
                7 => Value::from(1u64 << 31),
                8 => Value::from(65_536),
                9 => Value::from(random % 64),
                10 => Value::from(random),
                _ => Value::from(i64::MIN),
            };
        }
        if let Some((at, to)) = kind {
            let mut found = Vec::new();
            kinds(plan, &mut found);
            let at = at.index(found.len());
            *found[at] = Value::from(["shared", "candidate", "pair"][to]);
        }
        let bytes = write(tensors, Some(&manifest.to_string()));
        if let Ok(mut scorer) = Scorer::open(&bytes) {
            let inputs = zeros(&scorer, rows);
            let _ = scorer.engine.score(|name| inputs.get(name));
        }
    }
}

/// A forest that many steps have is packed for each of them: a small file would fill a page's memory.
#[test]
fn a_forest_is_packed_so_many_times_and_no_more() {
    let Compiled { tensors, manifest } = &compiled()[4];
    let plan = &manifest["plan"];
    let at = plan["steps"].as_array().unwrap().iter().position(|step| step["op"].get("trees").is_some()).unwrap();
    let step = plan["steps"][at].clone();
    let from = step["output"].as_u64().unwrap() as usize;
    let trees = &step["op"]["trees"];
    let weight = trees["weight"].as_str().unwrap();
    let nodes = tensors[trees["feature"].as_str().unwrap()].dims[0];
    let opened = |length: usize, times: usize| {
        // Entries that no leaf has are a defect of their own.
        let mut tensors = tensors.clone();
        tensors.insert(weight.into(), Tensor::f32(&[length], vec![0.0; length]));
        let mut manifest = manifest.clone();
        let plan = manifest.get_mut("plan").unwrap();
        for _ in 1..times {
            let values = plan["values"].as_array_mut().unwrap();
            let mut step = step.clone();
            step["output"] = values.len().into();
            values.push(values[from].clone());
            plan["steps"].as_array_mut().unwrap().push(step);
        }
        Scorer::open(&write(&tensors, Some(&manifest.to_string()))).map(|_| ()).unwrap_err().kind()
    };
    let limit = 1 << 25;
    assert_eq!(opened(limit / 16 - nodes, 16), ErrorKind::BundleCorrupt);
    assert_eq!(opened(limit / 16 - nodes + 1, 16), ErrorKind::LimitExceeded);
}
