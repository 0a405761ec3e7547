use super::*;
use crate::features::request::Request;
use crate::json;
use serde_json::{Value, json};

fn layout() -> Layout {
    let mut layout = Layout::new();
    layout.request.push(Column { path: "facts.account.age".into(), kind: CellKind::Number, width: 1 });
    layout.candidate.push(Column { path: "candidate.features.tags".into(), kind: CellKind::Strings, width: 1 });
    layout
}

fn request(candidates: Value) -> Request {
    json::from_value(&json!({ "now": 1.0, "candidates": candidates, "facts": { "account": { "age": 3 } } })).unwrap()
}

#[test]
fn json_and_columns_read_alike() {
    let candidates = json!([
        { "id": "ä𝄞", "type": 7, "server_score": true, "features": { "tags": ["x", 1, null] } },
        { "id": 18_446_744_073_709_551_615_u64, "key": "k", "value": "no number", "boost": 0.5 },
    ]);
    let json = Table::from_json(&layout(), &request(candidates)).unwrap();
    assert_eq!((json.id(0), json.key(0), json.candidate_type(0)), ("ä𝄞", "ä𝄞", Some("7")));
    assert_eq!((json.id(1), json.key(1)), ("18446744073709551615", "k"));
    assert_eq!(json.number(Layout::SERVER_SCORE, 0), 1.0);
    assert!(json.number(Layout::VALUE, 1).is_nan());
    assert_eq!(json.texts(10, 0).unwrap(), ["x", "1", ""]);
    assert_eq!(json.request_number(0), 3.0);

    let nan = f64::NAN;
    #[rustfmt::skip]
    let cells = [
        3.0, 0.0, 1.0, nan, 2.0, 3.0, nan, 1.0, nan, nan, nan, nan, 0.5, nan, nan, nan, nan, nan, nan, nan, nan,
        4.0 * 65536.0 + 3.0, nan,
    ];
    let pool = "ä𝄞18446744073709551615k7x1";
    let columns = Table::from_columns(&layout(), 2, &cells, pool, &[3, 20, 1, 1, 1, 1, 0]).unwrap();
    assert_eq!(columns.id(0), json.id(0));
    assert_eq!((columns.id(1), columns.key(1), columns.candidate_type(0)), (json.id(1), "k", Some("7")));
    assert_eq!(columns.texts(10, 0), json.texts(10, 0));
}

#[test]
fn bad_requests_are_named() {
    let kind = |candidates| Table::from_json(&layout(), &request(candidates)).unwrap_err().kind();
    assert_eq!(kind(json!([{ "id": 1 }, { "id": "1" }])), ErrorKind::RequestInvalid);
    assert_eq!(kind(json!([{}])), ErrorKind::RequestInvalid);
    assert_eq!(kind(json!([null])), ErrorKind::RequestInvalid);
    let many: Vec<Value> = (0..=MAX_CANDIDATES).map(|i| json!({ "id": i })).collect();
    assert_eq!(kind(json!(many)), ErrorKind::LimitExceeded);
    for (n, cells, pool, lengths) in [
        (1, vec![0.0], "", vec![]),
        (0, vec![0.0], "x", vec![2]),
        (0, vec![0.0], "xy", vec![1]),
        (1, vec![0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f64::NAN], "x", vec![1]),
        (1, vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, f64::NAN], "x", vec![1]),
        (1, vec![0.0, 0.0, f64::NAN, f64::NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f64::NAN, 65536.0 * 3.0], "x", vec![1]),
    ] {
        let error = Table::from_columns(&layout(), n, &cells, pool, &lengths).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestInvalid);
    }
}

#[test]
fn vectors_of_any_other_shape_are_missing() {
    let mut layout = layout();
    layout.candidate.push(Column { path: "candidate.features.v".into(), kind: CellKind::Numbers, width: 2 });
    layout.request.push(Column { path: "facts.market.h".into(), kind: CellKind::Numbers, width: 1 });
    let read = |v: Value| {
        let candidates = json!([{ "id": 1, "features": { "v": v } }]);
        let table = Table::from_json(&layout, &request(candidates)).unwrap();
        table.numbers(11, 0).map(<[f64]>::to_vec)
    };
    assert_eq!(read(json!([1, true, 2.5, 4])), Some(vec![1.0, 1.0, 2.5, 4.0]));
    assert_eq!(read(json!([[1, 2], [3, 4]])), Some(vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(read(json!([])), Some(vec![]));
    assert!(read(json!([[1, null]])).is_some_and(|v| v[0] == 1.0 && v[1].is_nan()));
    for other in [json!([1, 2, 3]), json!([[1, 2], [3]]), json!([[1, 2], 3]), json!("12"), json!({ "0": 1 }), json!(7)]
    {
        assert_eq!(read(other.clone()), None, "{other}");
    }
    let long: Vec<u32> = (0..65_536).collect();
    assert_eq!(read(json!(long)), None);
}

#[test]
fn lists_of_numbers_travel_behind_the_columns_and_are_checked() {
    let mut layout = Layout::new();
    layout.request.push(Column { path: "facts.market.h".into(), kind: CellKind::Numbers, width: 1 });
    layout.candidate.push(Column { path: "candidate.features.v".into(), kind: CellKind::Numbers, width: 2 });
    let nan = f64::NAN;
    let cells = |h: f64, v: f64| [h, 0.0, nan, nan, nan, nan, nan, nan, nan, nan, nan, v, 7.0, 8.0, 9.0];
    let table = |cells: &[f64]| Table::from_columns(&layout, 1, cells, "x", &[1]);
    let mut read = table(&cells(65_536.0 * 2.0 + 1.0, 2.0)).unwrap();
    assert_eq!((read.request_numbers(0), read.numbers(10, 0)), (Some(&[9.0][..]), Some(&[7.0, 8.0][..])));
    let more = table(&cells(nan, 65_536.0 + 2.0)).unwrap();
    let mut other = more.clone();
    other.pool = vec!["y".to_owned()];
    read.append(&layout, &other).unwrap();
    assert_eq!((read.numbers(10, 0), read.numbers(10, 1)), (Some(&[7.0, 8.0][..]), Some(&[8.0, 9.0][..])));
    for (h, v) in [(nan, 65_536.0 * 2.0 + 2.0), (nan, 1.0), (-1.0, nan), (nan, 1e300), (65_536.0 * 4.0, nan)] {
        assert_eq!(table(&cells(h, v)).unwrap_err().kind(), ErrorKind::RequestInvalid, "{h} {v}");
    }
    // Without a column for them there is nothing behind the columns.
    assert!(Table::from_columns(&Layout::new(), 0, &[1.0], "", &[]).is_err());
}

#[test]
fn append_keeps_every_cell_and_refuses_a_known_id() {
    let mut a = Table::from_json(&layout(), &request(json!([{ "id": "a", "features": { "tags": ["p"] } }]))).unwrap();
    let b = Table::from_json(&layout(), &request(json!([{ "id": "b", "features": { "tags": ["q", "r"] } }]))).unwrap();
    a.append(&layout(), &b).unwrap();
    assert_eq!((a.len(), a.id(1), a.texts(10, 1).unwrap().len()), (2, "b", 2));
    assert_eq!(a.append(&layout(), &b).unwrap_err().kind(), ErrorKind::RequestInvalid);
    assert_eq!(a.len(), 2);
}
