//! Nodes and constants for the tests of the evaluators.

use super::super::constant::Constant;
use super::super::node::Spec;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// A node under the newest operator set, unless said otherwise.
#[derive(Debug, Clone)]
pub(crate) struct NodeBuilder {
    pub proto: NodeProto,
    pub opset: i64,
}

pub(crate) fn node(op: &str) -> NodeBuilder {
    NodeBuilder { proto: NodeProto { op_type: op.into(), ..NodeProto::default() }, opset: 23 }
}

pub(crate) fn f32s(dims: &[usize], v: &[f32]) -> Constant {
    assert_eq!(dims.iter().product::<usize>(), v.len());
    Constant::f32(dims, v.to_vec())
}

pub(crate) fn i64s(dims: &[usize], v: &[i64]) -> Constant {
    assert_eq!(dims.iter().product::<usize>(), v.len());
    Constant::i64(dims, v.to_vec())
}

impl NodeBuilder {
    fn attribute(mut self, name: &str, kind: AttributeType, set: impl FnOnce(&mut AttributeProto)) -> Self {
        let mut attribute = AttributeProto { name: name.into(), r#type: kind as i32, ..AttributeProto::default() };
        set(&mut attribute);
        self.proto.attribute.push(attribute);
        self
    }
    pub fn int(self, name: &str, v: i64) -> Self {
        self.attribute(name, AttributeType::Int, |a| a.i = v)
    }
    pub fn float(self, name: &str, v: f32) -> Self {
        self.attribute(name, AttributeType::Float, |a| a.f = v)
    }
    pub fn ints(self, name: &str, v: &[i64]) -> Self {
        self.attribute(name, AttributeType::Ints, |a| a.ints = v.to_vec())
    }
    pub fn floats(self, name: &str, v: &[f32]) -> Self {
        self.attribute(name, AttributeType::Floats, |a| a.floats = v.to_vec())
    }
    pub fn string(self, name: &str, v: &str) -> Self {
        self.attribute(name, AttributeType::String, |a| a.s = v.as_bytes().to_vec())
    }
    pub fn strings(self, name: &str, v: &[&str]) -> Self {
        self.attribute(name, AttributeType::Strings, |a| a.strings = v.iter().map(|s| s.as_bytes().to_vec()).collect())
    }
    pub fn tensor(self, name: &str, v: TensorProto) -> Self {
        self.attribute(name, AttributeType::Tensor, |a| a.t = Some(v))
    }
    pub fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }
    pub fn domain(mut self, domain: &str) -> Self {
        self.proto.domain = domain.into();
        self
    }

    /// The spec with as many inputs as are given, and `outputs` outputs.
    pub fn spec(&self, inputs: &[Option<&Constant>], outputs: usize) -> Spec {
        let mut proto = self.proto.clone();
        let name = |i: usize, given: bool| if given { format!("v{i}") } else { String::new() };
        proto.input = inputs.iter().enumerate().map(|(i, input)| name(i, input.is_some())).collect();
        proto.output = (0..outputs).map(|i| format!("y{i}")).collect();
        Spec::new(&proto, self.opset)
    }

    /// All that the evaluator gives.
    pub fn run(&self, inputs: &[Option<&Constant>]) -> Result<Vec<Constant>, String> {
        super::evaluate(&self.spec(inputs, 1), inputs)
    }

    /// The first output, which must be.
    pub fn run1(&self, inputs: &[&Constant]) -> Constant {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.run(&inputs).unwrap().swap_remove(0)
    }
}
