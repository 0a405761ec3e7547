//! ONNX operators, each written to be obviously right: one element after the other, by the words of
//! the specification, transcendental functions and long sums in f64 and rounded once. They are
//! the oracle of the plan's steps and share no code with them: nothing here calls the engine or
//! its kernels. Where ONNX leaves something open, ONNX Runtime decides.

mod attention;
mod binary;
mod convert;
mod dense;
mod einsum;
mod elementwise;
mod encode;
mod gather;
mod learned;
mod moves;
mod norms;
mod order;
mod pad;
mod quantize;
mod recurrent;
mod reduce;
mod scores;
mod shape;
mod slices;
mod trees;

#[cfg(test)]
pub(super) mod testing;

use super::constant::Constant;
use super::node::Spec;

/// An operator's outputs in order; the message says why there are none.
pub(super) type Outputs = Result<Vec<Constant>, String>;

type Evaluator = fn(&Spec, &Args) -> Outputs;

/// The values of an operator's inputs.
pub(super) struct Args<'a>(&'a [Option<&'a Constant>]);

impl<'a> Args<'a> {
    /// Input `i`, which the operator demands.
    pub fn get(&self, i: usize) -> Result<&'a Constant, String> {
        self.optional(i).ok_or_else(|| format!("input {i} is missing"))
    }
    /// Input `i`, if it is given.
    pub fn optional(&self, i: usize) -> Option<&'a Constant> {
        self.0.get(i).copied().flatten()
    }
    /// All inputs, none left out.
    pub fn all(&self) -> Result<Vec<&'a Constant>, String> {
        (0..self.0.len()).map(|i| self.get(i)).collect()
    }
    /// The integers of input `i`, if it is given.
    pub fn ints(&self, i: usize) -> Result<Option<&'a [i64]>, String> {
        self.optional(i).map(Constant::ints).transpose()
    }
    /// The one integer of input `i`.
    pub fn int(&self, i: usize) -> Result<i64, String> {
        let list = self.get(i)?.ints()?;
        list.first().copied().filter(|_| list.len() == 1).ok_or_else(|| format!("input {i} is not one integer"))
    }
}

/// What `spec` gives for `inputs`, one constant for each output of the operator (more may be given than the node asks
/// for). The message says why not.
pub(crate) fn evaluate(spec: &Spec, inputs: &[Option<&Constant>]) -> Outputs {
    let evaluator = find(&spec.op, &spec.domain).ok_or("it has no evaluator")?;
    let outputs = evaluator(spec, &Args(inputs))?;
    if outputs.len() < spec.outputs {
        return Err(format!("{} outputs where {} are asked for", outputs.len(), spec.outputs));
    }
    Ok(outputs)
}

fn find(op: &str, domain: &str) -> Option<Evaluator> {
    match domain {
        "" => elementwise::find(op)
            .or_else(|| binary::find(op))
            .or_else(|| convert::find(op))
            .or_else(|| moves::find(op))
            .or_else(|| slices::find(op))
            .or_else(|| pad::find(op))
            .or_else(|| gather::find(op))
            .or_else(|| reduce::find(op))
            .or_else(|| order::find(op))
            .or_else(|| norms::find(op))
            .or_else(|| dense::find(op))
            .or_else(|| einsum::find(op))
            .or_else(|| recurrent::find(op))
            .or_else(|| attention::find(op))
            .or_else(|| quantize::find(op)),
        "ai.onnx.ml" => learned::find(op).or_else(|| encode::find(op)).or_else(|| trees::find(op)),
        "com.microsoft" => elementwise::find_microsoft(op),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::trusted::TRUSTED;
    use super::*;

    #[test]
    fn every_trusted_operator_has_a_naive_twin_to_fall_back_on() {
        for op in TRUSTED {
            assert!(find(op, "").is_some(), "{op}");
        }
        assert!(find("Loess", "").is_none());
        assert!(find("Scaler", "").is_none());
        assert!(find("Scaler", "ai.onnx.ml").is_some());
        assert!(find("Relu", "own").is_none());
    }

    #[test]
    fn outputs_that_are_asked_for_are_there() {
        let x = testing::f32s(&[1], &[1.0]);
        let spec = testing::node("Relu").spec(&[Some(&x)], 2);
        assert!(evaluate(&spec, &[Some(&x)]).unwrap_err().contains("2 are asked for"));
        let none = testing::node("Add");
        assert!(none.run(&[Some(&x), None]).unwrap_err().contains("input 1 is missing"));
    }
}
