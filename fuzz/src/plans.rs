//! Compiled plans with other numbers: what opens has run, and runs again on other rows.

use crate::bundles::{base, split, whole};
use crate::planted;
use ranklet::engine::{Data, Plan, Port, Tensor, Tensors};
use ranklet::scorer::Scorer;
use serde_json::Value;
use std::sync::OnceLock;

/// Bundles whose plans differ in kind.
pub const BASES: [&str; 7] =
    ["din_gate", "lgbm_small", "list_attention", "operators", "skl_mlp_multi", "two_inputs", "mlp_wide"];

/// A bundle taken apart.
struct Base {
    header: Value,
    manifest: Value,
    data: Vec<u8>,
    plan: Plan,
}

fn bases() -> &'static [Base] {
    static ALL: OnceLock<Vec<Base>> = OnceLock::new();
    ALL.get_or_init(|| {
        let read = |name: &&str| {
            let bytes = base(name);
            let plan = Scorer::open(&bytes).expect("a bundle that opens").engine.plan().clone();
            let (header, data) = split(&bytes);
            let header: Value = serde_json::from_slice(header).expect("a header");
            let manifest = header["__metadata__"]["ranklet"].as_str().expect("a manifest");
            Base { manifest: serde_json::from_str(manifest).expect("JSON"), data: data.to_vec(), header, plan }
        };
        BASES.iter().map(read).collect()
    })
}

/// The first byte names a bundle, the second the rows of the run; then edits of seven bytes: what is changed (a number or a word of the
/// plan, or a byte of a tensor), two bytes of where, and four of what.
pub fn plan_execution(data: &[u8]) {
    let (&[which, rows], edits) = data.split_first_chunk::<2>().unwrap_or((&[0, 3], &[]));
    let Base { header, manifest, data, plan: own } = &bases()[usize::from(which) % BASES.len()];
    let (mut header, mut manifest, mut data) = (header.clone(), manifest.clone(), data.clone());
    for edit in edits.as_chunks::<7>().0.iter().take(16) {
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2]]));
        let to = u32::from_le_bytes([edit[3], edit[4], edit[5], edit[6]]);
        let plan = manifest.get_mut("plan").expect("a plan");
        match edit[0] % 4 {
            0 => change(&mut numbers(plan), at, |_| Value::from(to)),
            1 => change(&mut numbers(plan), at, |old| {
                Value::from(old.as_i64().unwrap_or(0).wrapping_add(i64::from(to as i32)))
            }),
            2 => change(&mut words(plan), at, |_| Value::from(["shared", "candidate", "pair"][to as usize % 3])),
            // Two bytes do not reach every byte of the largest: the rest of `to` helps.
            _ => {
                let place = (at + (to as usize >> 8) % 4 * 65_536) % data.len();
                data[place] = to as u8;
            }
        }
    }
    header["__metadata__"]["ranklet"] = Value::from(manifest.to_string());
    let Ok(mut scorer) = Scorer::open(&whole(header.to_string().as_bytes(), &data)) else { return };
    // Another plan that opens: the edits of the seeds change numbers that are checked.
    planted(|| *scorer.engine.plan() != *own && rows > 100);
    let inputs = inputs(&scorer, usize::from(rows));
    let _ = scorer.engine.score(|name| inputs.get(name));
}

fn change(found: &mut [&mut Value], at: usize, to: impl FnOnce(&Value) -> Value) {
    let count = found.len().max(1);
    if let Some(value) = found.get_mut(at % count) {
        **value = to(value);
    }
}

fn leaves<'a>(value: &'a mut Value, wanted: &dyn Fn(&Value) -> bool, found: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| leaves(item, wanted, found)),
        Value::Object(entries) => entries.iter_mut().for_each(|(_, item)| leaves(item, wanted, found)),
        leaf if wanted(leaf) => found.push(leaf),
        _ => {}
    }
}

fn numbers(plan: &mut Value) -> Vec<&mut Value> {
    let mut found = Vec::new();
    leaves(plan, &|value| value.is_number(), &mut found);
    found
}

/// How many rows a value has: as dangerous as a number.
fn words(plan: &mut Value) -> Vec<&mut Value> {
    let mut found = Vec::new();
    leaves(
        plan,
        &|value| value.as_str().is_some_and(|word| ["shared", "candidate", "pair"].contains(&word)),
        &mut found,
    );
    found
}

/// Some rows for every input. Sizes that no caller would give are not asked for.
fn inputs(scorer: &Scorer, rows: usize) -> Tensors {
    let plan = scorer.engine.plan();
    let of = |port: &Port| {
        let size = |d: i64| if d < 0 { rows.saturating_mul(d.unsigned_abs() as usize) } else { d as usize };
        let dims: Vec<usize> = port.dims.iter().map(|&d| size(d)).collect();
        let n = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 20)?;
        let data = match plan.values[port.value as usize].dtype.name() {
            "f32" => Data::F32((0..n).map(|i| i as f32 / 8.0 - 1.0).collect()),
            "i32" => Data::I32((0..n as i32).map(|i| i % 7 - 2).collect()),
            "i64" => Data::I64((0..n as i64).map(|i| i % 7 - 2).collect()),
            _ => Data::U8((0..n).map(|i| (i % 2) as u8).collect()),
        };
        Some((port.name.clone(), Tensor { dims, data }))
    };
    plan.inputs.iter().filter_map(of).collect()
}
