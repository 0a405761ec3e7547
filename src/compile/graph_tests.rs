//! Graphs as protobufs, and what is made of them.

use super::*;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, tensor_shape_proto,
};

/// A dimension: a size or a symbol.
pub(in crate::compile) enum Axis {
    Size(i64),
    Symbol(&'static str),
}
use Axis::{Size, Symbol};

pub(in crate::compile) fn input(name: &str, elem: DataType, axes: &[Axis]) -> ValueInfoProto {
    let dim = axes.iter().map(|axis| tensor_shape_proto::Dimension {
        value: Some(match axis {
            Size(size) => DimValue::DimValue(*size),
            Symbol(symbol) => DimValue::DimParam((*symbol).into()),
        }),
        ..Default::default()
    });
    let tensor = type_proto::Tensor { elem_type: elem as i32, shape: Some(TensorShapeProto { dim: dim.collect() }) };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value, ..Default::default() }), ..Default::default() }
}

pub(in crate::compile) fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_string()).collect();
    NodeProto { op_type: op.into(), input: names(inputs), output: names(outputs), ..Default::default() }
}

pub(in crate::compile) fn floats(name: &str, dims: &[i64], v: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: v.to_vec(),
        ..Default::default()
    }
}

pub(in crate::compile) fn model(
    inputs: Vec<ValueInfoProto>,
    nodes: Vec<NodeProto>,
    initial: Vec<TensorProto>,
    outputs: &[&str],
) -> ModelProto {
    let output = outputs.iter().map(|name| ValueInfoProto { name: (*name).into(), ..Default::default() }).collect();
    let import = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    ModelProto {
        graph: Some(GraphProto { node: nodes, initializer: initial, input: inputs, output, ..Default::default() }),
        opset_import: vec![import("ai.onnx", 17), import("ai.onnx.ml", 3)],
        ..Default::default()
    }
}

pub(in crate::compile) fn read(model: ModelProto, dims: &[(&str, i64)]) -> (Result<Graph>, Problems) {
    let dims = dims.iter().map(|(name, size)| ((*name).to_string(), *size)).collect();
    let mut problems = Problems::default();
    (from_proto(model, &dims, &mut problems), problems)
}

/// The dimensions of the inputs `a`, `b`... of these shapes, and the problems.
fn shapes(inputs: &[&[Axis]], dims: &[(&str, i64)]) -> (Vec<Vec<Dim>>, String) {
    let names = ["a", "b", "c"];
    let declared = inputs.iter().zip(names).map(|(axes, name)| input(name, DataType::Float, axes)).collect();
    let (graph, problems) = read(model(declared, vec![node("Relu", &["a"], &["y"])], vec![], &["y"]), dims);
    let message = problems.check().err().map(|e| e.to_string()).unwrap_or_default();
    (graph.unwrap().inputs.into_iter().map(|input| input.dims).collect(), message)
}

#[test]
fn symbols_that_lead_are_the_number_of_candidates() {
    use Dim::{Fixed, Rows};
    let (dims, problems) =
        shapes(&[&[Symbol("N"), Size(4)], &[Size(1), Size(3)], &[Size(1), Symbol("N"), Size(2)]], &[]);
    assert_eq!(dims, [vec![Rows, Fixed(4)], vec![Fixed(1), Fixed(3)], vec![Fixed(1), Rows, Fixed(2)]]);
    assert_eq!(problems, "");
    let (dims, problems) = shapes(&[&[Symbol("batch"), Symbol("time")], &[Symbol("")], &[Size(7)]], &[("time", 5)]);
    assert_eq!(dims, [vec![Rows, Fixed(5)], vec![Rows], vec![Fixed(7)]]);
    assert_eq!(problems, "");
    let (dims, problems) = shapes(&[&[Size(1), Symbol("Candidates"), Size(2)], &[Size(1), Symbol("N")]], &[]);
    assert_eq!(dims, [vec![Fixed(1), Rows, Fixed(2)], vec![Fixed(1), Rows]]);
    assert_eq!(problems, "");
    let (dims, problems) = shapes(&[&[Symbol("batch"), Symbol("N"), Size(2)]], &[("batch", 1)]);
    assert_eq!(dims, [vec![Fixed(1), Rows, Fixed(2)]]);
    assert_eq!(problems, "");
}

#[test]
fn other_symbols_need_a_size() {
    let (_, problems) = shapes(&[&[Symbol("batch"), Symbol("time")]], &[]);
    assert!(problems.contains("`a` (input)") && problems.contains("--dim time=VALUE"), "{problems}");
    let (_, problems) = shapes(&[&[Size(1), Symbol("")]], &[]);
    assert!(problems.contains("neither size nor name"), "{problems}");
    let text = input("a", DataType::String, &[Symbol("N")]);
    let (_, problems) = read(model(vec![text], vec![node("Identity", &["a"], &["y"])], vec![], &["y"]), &[]);
    assert!(problems.check().unwrap_err().to_string().contains("Text"));
}

fn x() -> ValueInfoProto {
    input("x", DataType::Float, &[Symbol("N"), Size(2)])
}

#[test]
fn what_no_output_needs_is_dropped() {
    let mut constant = node("Constant", &[], &["two"]);
    constant.attribute.push(AttributeProto { name: "value_float".into(), f: 2.0, ..Default::default() });
    let nodes = vec![constant, node("Unknown", &["x"], &["unused"]), node("Mul", &["x", "two"], &["y"])];
    let initial = vec![floats("idle", &[1], &[1.0])];
    let (graph, problems) = read(model(vec![x()], nodes, initial, &["y"]), &[]);
    let graph = graph.unwrap();
    assert!(problems.check().is_ok());
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!((&graph.nodes[0].spec.op[..], graph.nodes[0].spec.opset), ("Mul", 17));
    assert_eq!(graph.constants, BTreeMap::from([("two".to_string(), Constant::f32(&[], vec![2.0]))]));
}

#[test]
fn malformed_graphs_are_refused() {
    let refused = |nodes: Vec<NodeProto>, initial: Vec<TensorProto>| {
        read(model(vec![x()], nodes, initial, &["y"]), &[]).0.unwrap_err().to_string()
    };
    assert!(refused(vec![node("Add", &["x", "gone"], &["y"])], vec![]).contains("reads `gone`"));
    assert!(refused(vec![node("Relu", &["x"], &["z"])], vec![]).contains("`y` is given by no node"));
    let twice = vec![node("Relu", &["x"], &["y"]), node("Neg", &["x"], &["y"])];
    assert!(refused(twice, vec![]).contains("given already"));
    let short = floats("w", &[3], &[1.0]);
    assert!(refused(vec![node("Add", &["x", "w"], &["y"])], vec![short]).contains("as many elements"));
    let mut far = node("Softmax", &["x"], &["y"]);
    far.attribute.push(AttributeProto { name: "axis".into(), i: 1 << 40, ..Default::default() });
    assert!(refused(vec![far], vec![]).contains("out of range"));
    let mut perm = node("Transpose", &["x"], &["y"]);
    perm.attribute.push(AttributeProto { name: "perm".into(), ints: vec![0, 0], ..Default::default() });
    assert!(refused(vec![perm], vec![]).contains("permutation"));
}

#[test]
fn functions_are_inlined_with_their_attributes() {
    let mut body = node("LeakyRelu", &["v"], &["inner"]);
    body.attribute.push(AttributeProto { name: "alpha".into(), ref_attr_name: "slope".into(), ..Default::default() });
    let function = FunctionProto {
        name: Some("Leak".into()),
        domain: Some("own".into()),
        input: vec!["v".into(), "left_out".into()],
        output: vec!["r".into()],
        attribute: vec!["slope".into()],
        node: vec![body, node("Neg", &["inner"], &["r"])],
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 16 }],
        ..Default::default()
    };
    let mut call = node("Leak", &["x"], &["y"]);
    call.domain = "own".into();
    call.attribute.push(AttributeProto { name: "slope".into(), f: 0.5, ..Default::default() });
    let mut whole = model(vec![x()], vec![call.clone()], vec![], &["y"]);
    whole.functions.push(function.clone());
    let graph = read(whole, &[]).0.unwrap();
    let [first, second] = &graph.nodes[..] else { panic!("{:?}", graph.nodes) };
    assert_eq!((&first.spec.op[..], first.spec.float("alpha", 0.0), first.spec.opset), ("LeakyRelu", 0.5, 16));
    assert_eq!(first.outputs, second.inputs);
    assert_eq!((&first.inputs[0], &second.outputs[0]), (&Some("x".into()), &Some("y".into())));

    let mut endless = function;
    endless.node = vec![node("Leak", &["v"], &["r"])];
    endless.node[0].domain = "own".into();
    let mut whole = model(vec![x()], vec![call], vec![], &["y"]);
    whole.functions.push(endless);
    assert!(read(whole, &[]).0.unwrap_err().to_string().contains("calls itself"));
}

#[test]
fn string_labels_are_left_out_and_control_flow_is_a_problem() {
    let mut classifier = node("LinearClassifier", &["x"], &["label", "p"]);
    classifier.domain = "ai.onnx.ml".into();
    let labels = vec![b"no".to_vec(), b"yes".to_vec()];
    classifier.attribute.push(AttributeProto {
        name: "classlabels_strings".into(),
        strings: labels,
        ..Default::default()
    });
    let (graph, problems) = read(model(vec![x()], vec![classifier], vec![], &["label", "p"]), &[]);
    assert_eq!(graph.unwrap().outputs, ["p"]);
    assert!(problems.warnings[0].contains("`label`"));

    let mut branch = node("If", &["x"], &["y"]);
    branch.attribute.push(AttributeProto {
        name: "then_branch".into(),
        g: Some(GraphProto::default()),
        ..Default::default()
    });
    let (_, problems) = read(model(vec![x()], vec![branch], vec![], &["y"]), &[]);
    assert!(problems.check().unwrap_err().to_string().contains("control flow"));
}
