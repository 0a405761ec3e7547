//! Every encoding and transform by hand.

use super::*;
use crate::context::{Context, ContextSpec, Event, Happening};
use ranklet_kernels::hash::{hash64, rehash};
use serde_json::{Value, json};

fn encode(features: Value, candidate: Value, facts: Value) -> Vec<f32> {
    let schema: Schema = crate::json::from_value(&features).unwrap();
    let spec = ContextSpec::default();
    let encoder = Encoder::new(&schema, &spec).unwrap();
    let request: Request =
        crate::json::from_value(&json!({ "now": 7_200_000.0, "candidates": [candidate], "facts": facts })).unwrap();
    let table = Table::from_json(encoder.layout(), &request).unwrap();
    let mut matrix = Matrix::default();
    let context = Context::new(&spec).unwrap();
    let scene = Scene { table: &table, surface: Some("assistant"), context: &context, now: request.now };
    encoder.encode(&scene, false, &mut matrix);
    matrix.rows
}

fn one(transforms: Value, x: Value) -> f32 {
    let feature = json!([{ "name": "x", "from": "candidate.features.x", "transforms": transforms }]);
    encode(feature, json!({ "id": 1, "features": { "x": x, "y": 4.0, "z": 0.0 } }), json!({}))[0]
}

#[test]
fn each_transform_by_hand() {
    assert_eq!(one(json!([]), json!(2.5)), 2.5);
    assert_eq!(one(json!([]), json!(true)), 1.0);
    assert_eq!(one(json!([{ "op": "log1p" }]), json!(-3)), 0.0);
    assert!((one(json!([{ "op": "log1p" }]), json!(1)) - std::f32::consts::LN_2).abs() < 1e-7);
    assert_eq!(one(json!([{ "op": "clip", "low": 0, "high": 2 }]), json!(7)), 2.0);
    assert_eq!(one(json!([{ "op": "standardise", "mean": 1, "std": 2 }]), json!(5)), 2.0);
    let edges = json!([{ "op": "bucketise", "edges": [1, 2, 2, 5] }]);
    assert_eq!([0.5, 1.0, 2.0, 9.0].map(|x| one(edges.clone(), json!(x))), [0.0, 1.0, 3.0, 4.0]);
    let knots = json!([{ "op": "quantile", "knots": [0, 10, 20] }]);
    assert_eq!([-1.0, 5.0, 20.0].map(|x| one(knots.clone(), json!(x))), [0.0, 0.25, 1.0]);
    assert_eq!(one(json!([{ "op": "age", "unit": "1h" }]), json!(0)), 2.0);
    assert_eq!(one(json!([{ "op": "ratio", "by": "candidate.features.y" }]), json!(2)), 0.5);
    assert!(one(json!([{ "op": "ratio", "by": "candidate.features.z" }]), json!(2)).is_nan());
    assert_eq!(one(json!([{ "op": "product", "by": "candidate.features.y" }]), json!(2)), 8.0);
    assert_eq!(one(json!([{ "op": "product", "by": "candidate.server_rank" }]), json!(2)), 2.0);
    assert_eq!([json!(null), json!(1)].map(|x| one(json!([{ "op": "is_missing" }]), x)), [1.0, 0.0]);
}

#[test]
fn missing_stays_missing_unless_replaced() {
    for x in [json!(null), json!("7"), json!([1])] {
        assert!(one(json!([{ "op": "log1p" }, { "op": "clip", "low": 0, "high": 1 }]), x).is_nan());
    }
    let feature = json!([{ "name": "x", "from": "candidate.features.x", "missing": -1.0 }]);
    assert_eq!(encode(feature, json!({ "id": 1 }), json!({})), [-1.0]);
}

#[test]
fn categories() {
    let from = "candidate.type";
    let index = json!([{ "name": "t", "from": from, "kind": "categorical", "vocabulary": ["a", "b"] }]);
    let value = |t: Value| encode(index.clone(), json!({ "id": 1, "type": t }), json!({}))[0];
    assert_eq!((value(json!("b")), value(json!("z"))), (1.0, -1.0));
    assert!(value(json!(null)).is_nan());
    let hot = json!([
        { "name": "s", "from": "surface", "kind": "categorical", "vocabulary": ["ads_manager", "assistant"], "encode": "one_hot" },
        { "name": "h", "from": "facts.account.country", "kind": "categorical", "hash_buckets": 16 },
    ]);
    let row = encode(hot, json!({ "id": 1 }), json!({ "account": { "country": "NL" } }));
    assert_eq!(row[..2], [0.0, 1.0]);
    assert_eq!(row[2], (hash64("NL") % 16) as f32);
}

#[test]
fn bad_schemas_are_refused_with_the_feature_named() {
    for (feature, word) in [
        (json!({ "name": "x", "from": "candidate.colour" }), "candidate.features.NAME"),
        (json!({ "name": "x", "from": "local.key.open.3h" }), "half-lives"),
        (json!({ "name": "x", "from": "surface" }), "categorical"),
        (json!({ "name": "x", "from": "surface", "kind": "categorical" }), "vocabulary"),
        (json!({ "name": "x", "from": "candidate.features.r", "kind": "related" }), "signal"),
        (
            json!({ "name": "x", "from": "candidate.value", "transforms": [{ "op": "age", "unit": "1 week" }] }),
            "duration",
        ),
        (
            json!({ "name": "x", "from": "candidate.value", "transforms": [{ "op": "standardise", "mean": 0, "std": 0 }] }),
            "std",
        ),
    ] {
        let schema: Schema = crate::json::from_value(&json!([feature])).unwrap();
        let error = Encoder::new(&schema, &ContextSpec::default()).unwrap_err().to_string();
        assert!(error.contains("`x`") || error.contains("duration"), "{error}");
        assert!(error.contains(word), "{error}");
    }
}

fn schema(features: Value) -> Schema {
    crate::json::from_value(&features).unwrap()
}

#[test]
fn several_hash_functions_an_offset_and_the_unknown() {
    let from = "candidate.features.id";
    let id = |id: Value, more: Value| {
        let mut feature = json!({ "name": "i", "from": from, "kind": "categorical" });
        feature.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        encode(json!([feature]), json!({ "id": 1, "features": { "id": id } }), json!({}))
    };
    // A number past 2^53 keeps every digit, and is the text of the same digits.
    let three = json!({ "hash_buckets": 1000, "hashes": 3, "offset": 2 });
    let h = hash64("9007199254740993");
    let expected: Vec<f32> = (0..3).map(|i| (rehash(h, i) % 1000 + 2) as f32).collect();
    assert_eq!(id(json!(9_007_199_254_740_993_u64), three.clone()), expected);
    assert_eq!(id(json!("9007199254740993"), three.clone()), expected);
    assert_ne!(id(json!(9_007_199_254_740_992_u64), three.clone()), expected);
    assert!(id(json!(null), three).iter().all(|x| x.is_nan()));
    let words = json!({ "vocabulary": ["a", "b"], "offset": 2, "unknown": 1.0, "missing": 0.0 });
    assert_eq!(
        [json!("a"), json!("b"), json!("z"), json!(null)].map(|t| id(t, words.clone())[0]),
        [2.0, 3.0, 1.0, 0.0]
    );
    let hot = id(json!("x"), json!({ "hash_buckets": 5, "encode": "one_hot" }));
    assert_eq!((hot.len(), hot.iter().sum::<f32>(), hot[(hash64("x") % 5) as usize]), (5, 1.0, 1.0));
}

#[test]
fn crosses_are_hashed_together() {
    let feature = json!([{ "name": "c", "from": "candidate.type", "kind": "categorical", "hash_buckets": 97,
                           "cross": ["surface", "facts.account.country"] }]);
    let row = |country: Value| {
        encode(feature.clone(), json!({ "id": 1, "type": "t" }), json!({ "account": { "country": country } }))[0]
    };
    assert_eq!(row(json!("NL")), (hash64("t\u{1f}assistant\u{1f}NL") % 97) as f32);
    assert_ne!(row(json!("NL")), row(json!("DE")));
    assert!(row(json!(null)).is_nan(), "missing where one part is");
}

#[test]
fn lists_of_categories() {
    let list = |encode_as: &str, more: Value, tags: Value| {
        let mut feature =
            json!({ "name": "l", "from": "candidate.features.tags", "kind": "list", "encode": encode_as });
        feature.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        encode(json!([feature]), json!({ "id": 1, "features": { "tags": tags } }), json!({}))
    };
    let words = json!({ "vocabulary": ["a", "b", "7"] });
    let tags = json!(["b", 7, "b", "unheard", null]);
    assert_eq!(list("multi_hot", words.clone(), tags.clone()), [0.0, 1.0, 1.0]);
    assert_eq!(list("counts", words.clone(), tags.clone()), [0.0, 2.0, 1.0]);
    // Of the four that hold something.
    assert_eq!(list("mean", words.clone(), tags.clone()), [0.0, 0.5, 0.25]);
    for nothing in [json!([]), json!(null), json!("b"), json!({ "0": "b" })] {
        assert_eq!(list("mean", words.clone(), nothing), [0.0; 3]);
    }
    let bounded = json!({ "vocabulary": ["a", "b", "7"], "length": 2 });
    assert_eq!(list("counts", bounded, tags), [0.0, 1.0, 1.0], "the first two alone");
    let hashed = list("counts", json!({ "hash_buckets": 4 }), json!(["x", "y", "x"]));
    let mut expected = [0.0; 4];
    ["x", "y", "x"].iter().for_each(|t| expected[(hash64(t) % 4) as usize] += 1.0);
    assert_eq!(hashed, expected);
}

#[test]
fn embeddings_are_whole_or_missing() {
    let vector = |v: Value, more: Value| {
        let mut feature = json!({ "name": "e", "from": "candidate.features.v", "kind": "embedding", "width": 3 });
        feature.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        encode(json!([feature]), json!({ "id": 1, "features": { "v": v } }), json!({}))
    };
    let clipped = json!({ "transforms": [{ "op": "clip", "low": 0, "high": 2 }], "missing": -1.0 });
    assert_eq!(vector(json!([1, 2.5, true]), json!({})), [1.0, 2.5, 1.0]);
    assert_eq!(vector(json!([1, 2.5, null]), clipped.clone()), [1.0, 2.0, -1.0]);
    for other in [json!([1, 2]), json!([1, 2, 3, 4]), json!([1, 2, 3, 4, 5, 6]), json!([]), json!("abc"), json!(null)] {
        assert_eq!(vector(other.clone(), clipped.clone()), [-1.0; 3], "{other}");
    }
}

#[test]
fn sequences_of_a_request_hold_the_last_and_are_padded_behind() {
    let sequence = |more: Value, h: Value| {
        let mut feature = json!({ "name": "s", "from": "facts.market.h", "kind": "sequence", "length": 3 });
        feature.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        encode(json!([feature]), json!({ "id": 1 }), json!({ "market": { "h": h } }))
    };
    assert_eq!(sequence(json!({}), json!([1, 2, 3, 4])), [2.0, 3.0, 4.0]);
    assert_eq!(sequence(json!({ "padding": -7.0 }), json!([5])), [5.0, -7.0, -7.0]);
    let missing = json!({ "missing": 9.0, "transforms": [{ "op": "log1p" }] });
    assert_eq!(sequence(missing, json!([0, "x"])), [0.0, 9.0, 0.0]);
    let pairs = json!({ "width": 2 });
    assert_eq!(sequence(pairs.clone(), json!([[1, 2], [3, 4]])), [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
    assert_eq!(sequence(pairs.clone(), json!([1, 2, 3, 4, 5, 6, 7, 8])), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    assert_eq!(sequence(pairs, json!([[1, 2], [3]])), [0.0; 6]);
    let ids = json!({ "vocabulary": ["a", "b"], "offset": 1, "missing": 9.0 });
    assert_eq!(sequence(ids, json!(["b", "z", null])), [2.0, -1.0, 9.0]);
    let hot = json!({ "vocabulary": ["a", "b"], "encode": "one_hot" });
    assert_eq!(sequence(hot, json!(["b", null])), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let mask = |more: Value, h: Value| {
        let mut keys = json!({ "encode": "mask" });
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sequence(keys, h)
    };
    assert_eq!(mask(json!({}), json!(["a", null])), [1.0, 0.0, 0.0]);
    assert_eq!(mask(json!({ "width": 2 }), json!([[1, null], [null, null]])), [1.0, 0.0, 0.0]);
    assert_eq!(mask(json!({}), json!(null)), [0.0; 3]);
}

#[test]
fn the_local_sequence_is_a_feature() {
    let spec = ContextSpec::default();
    let features = json!([
        { "name": "type", "from": "local.sequence.type", "kind": "sequence", "length": 3, "vocabulary": ["a", "b"],
          "offset": 2, "unknown": 1.0, "missing": 1.0 },
        { "name": "event", "from": "local.sequence.event", "kind": "sequence", "length": 3,
          "vocabulary": ["dismiss", "open"], "offset": 1 },
        { "name": "age", "from": "local.sequence.age", "kind": "sequence", "length": 3, "padding": -1.0 },
        { "name": "mask", "from": "local.sequence.key", "kind": "sequence", "length": 3, "encode": "mask" },
    ]);
    let encoder = Encoder::new(&schema(features), &spec).unwrap();
    let candidates = json!([{ "id": "x", "type": "a" }, { "id": "y", "type": "b" }]);
    let request: Request = crate::json::from_value(&json!({ "now": 1_000_000.0, "candidates": candidates })).unwrap();
    let table = Table::from_json(encoder.layout(), &request).unwrap();
    let mut context = Context::new(&spec).unwrap();
    let scene = |context: &Context| {
        let mut matrix = Matrix::default();
        let scene = Scene { table: &table, surface: None, context, now: 1_000_000.0 };
        encoder.encode(&scene, false, &mut matrix);
        matrix.rows[..12].to_vec()
    };
    assert_eq!(scene(&context), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -1.0, -1.0, 0.0, 0.0, 0.0]);
    for (key, kind, time) in
        [("y", Some("b"), 900_000), ("x", Some("a"), 990_000), ("w", None, 995_000), ("y", Some("b"), 1_000_000)]
    {
        let event = if key == "x" { "dismiss" } else { "open" };
        let event = Event::from_json(&json!({ "type": event, "key": key, "time": time }).to_string()).unwrap();
        assert!(context.observe(&Happening { candidate_type: kind, ..event.happening() }));
    }
    assert_eq!(scene(&context), [2.0, 1.0, 3.0, 1.0, 2.0, 2.0, 10.0, 5.0, 0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn inputs_divide_the_columns() {
    let inputs: Vec<Input> = crate::json::from_value(&json!([
        { "name": "history", "length": 2 }, { "name": "item" }, { "name": "user" }, { "name": "each", "rows": "candidate" },
    ]))
    .unwrap();
    let features = json!([
        { "name": "uplift", "from": "candidate.features.u", "input": "item" },
        { "name": "when", "from": "facts.market.when", "kind": "sequence", "length": 2, "input": "history" },
        { "name": "country", "from": "facts.account.c", "kind": "categorical", "vocabulary": ["NL"], "input": "user" },
        { "name": "what", "from": "facts.market.what", "kind": "sequence", "length": 2, "width": 2, "input": "history" },
        { "name": "age", "from": "facts.account.age", "input": "each" },
        { "name": "type", "from": "candidate.type", "kind": "categorical", "vocabulary": ["a", "b"], "encode": "one_hot", "input": "item" },
    ]);
    let encoder = Encoder::with_inputs(&schema(features.clone()), &inputs, &ContextSpec::default()).unwrap();
    let parts: Vec<_> = encoder.parts().iter().map(|p| (p.name.as_str(), p.rows, p.first, p.width)).collect();
    let (request, each) = (PerRow::Request, PerRow::Candidate);
    assert_eq!(
        parts,
        [("history", request, 0, 6), ("item", each, 0, 3), ("user", request, 6, 1), ("each", each, 3, 1)]
    );
    let log: Request = crate::json::from_value(&json!({
        "now": 0.0, "candidates": [{ "id": 1, "type": "b", "features": { "u": 4 } }, { "id": 2, "type": "a" }],
        "facts": { "account": { "c": "NL", "age": 50 }, "market": { "when": [7, 8], "what": [[1, 2], [3, 4]] } },
    }))
    .unwrap();
    let spec = ContextSpec::default();
    let table = Table::from_json(encoder.layout(), &log).unwrap();
    let scene = Scene { table: &table, surface: None, context: &Context::new(&spec).unwrap(), now: 0.0 };
    let mut matrix = Matrix::default();
    encoder.encode(&scene, false, &mut matrix);
    // At each position of the history the features stand side by side.
    assert_eq!(matrix.shared, [7.0, 1.0, 2.0, 8.0, 3.0, 4.0, 0.0]);
    assert_eq!(matrix.rows[..4], [4.0, 0.0, 1.0, 50.0]);
    assert!(matrix.rows[4].is_nan());
    assert_eq!(matrix.rows[5..], [1.0, 0.0, 50.0]);
    assert!(matrix.shared_changed && matrix.changed == [true, true]);
    (matrix.shared_changed, matrix.changed) = (false, vec![false; 2]);
    encoder.encode(&scene, false, &mut matrix);
    assert!(!matrix.shared_changed && matrix.changed == [false; 2], "the same again changes nothing");

    let refused = |inputs: Value, change: &dyn Fn(&mut Value)| {
        let mut features = features.clone();
        change(&mut features);
        let inputs: Vec<Input> = crate::json::from_value(&inputs).unwrap();
        Encoder::with_inputs(&schema(features), &inputs, &spec).unwrap_err().to_string()
    };
    let all = json!([{ "name": "history", "length": 2 }, { "name": "item" }, { "name": "user" }, { "name": "each" }]);
    for (inputs, words) in [
        (json!([{ "name": "item" }]), ["feature `when`", "none of the [[inputs]]"]),
        (
            json!([{ "name": "history" }, { "name": "item", "rows": "request" }, { "name": "user" }, { "name": "each" }]),
            ["feature `uplift`, input `item`", "one row for the whole request"],
        ),
        (
            json!([{ "name": "history", "length": 3 }, { "name": "item" }, { "name": "user" }, { "name": "each" }]),
            ["feature `when`", "a sequence of that length"],
        ),
        (
            json!([{ "name": "history" }, { "name": "item" }, { "name": "user" }, { "name": "each" }, { "name": "spare" }]),
            ["input `spare`", "no feature fills it"],
        ),
    ] {
        let error = refused(inputs, &|_| ());
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let error = refused(all, &|features| drop(features[2].as_object_mut().unwrap().remove("input")));
    assert!(error.contains("feature `country`") && error.contains("`input`"), "{error}");
}

#[test]
fn columns_have_names() {
    let features = json!([
        { "name": "a", "from": "candidate.value" },
        { "name": "t", "from": "candidate.type", "kind": "categorical", "vocabulary": ["x", "y"], "encode": "one_hot" },
        { "name": "h", "from": "surface", "kind": "categorical", "hash_buckets": 9, "hashes": 2 },
        { "name": "l", "from": "candidate.features.l", "kind": "list", "encode": "counts", "hash_buckets": 2 },
        { "name": "e", "from": "candidate.features.e", "kind": "embedding", "width": 2 },
        { "name": "s", "from": "facts.market.s", "kind": "sequence", "length": 2, "width": 2 },
        { "name": "m", "from": "facts.market.s", "kind": "sequence", "length": 2, "encode": "mask" },
    ]);
    let names = schema(features).column_names();
    assert_eq!(names.join(" "), "a t=x t=y h[0] h[1] l=0 l=1 e[0] e[1] s[0][0] s[0][1] s[1][0] s[1][1] m[0] m[1]");
}
