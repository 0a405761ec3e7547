//! Einsum, in its full generality: repeated labels (diagonals), an ellipsis, an implicit result.

use super::super::constant::{Constant, Values};
use super::super::node::Spec;
use super::binary::integer;
use super::shape::{each, flat, strides};
use super::{Args, Evaluator, Outputs};
use std::collections::BTreeMap;

pub(super) fn find(op: &str) -> Option<Evaluator> {
    (op == "Einsum").then_some(einsum as Evaluator)
}

/// An axis's name: a letter, or its place under the ellipsis counted from the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Hidden(usize),
    Letter(char),
}

/// The labels of a term whose ellipsis stands for `hidden` axes.
fn labels(term: &str, hidden: Option<usize>) -> Result<Vec<Label>, String> {
    let mut labels = vec![];
    let mut rest = term;
    while let Some(letter) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("...") {
            labels.extend((0..hidden.unwrap_or(0)).rev().map(Label::Hidden));
            rest = behind;
        } else if letter.is_ascii_alphabetic() {
            labels.push(Label::Letter(letter));
            rest = &rest[1..];
        } else {
            return Err(format!("the equation has `{letter}`"));
        }
    }
    Ok(labels)
}

fn einsum(spec: &Spec, args: &Args) -> Outputs {
    let equation: String = spec.string("equation").unwrap_or_default().split_whitespace().collect();
    let inputs = args.all()?;
    let (left, right) = equation.split_once("->").map_or((equation.as_str(), None), |(l, r)| (l, Some(r)));
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != inputs.len() || inputs.is_empty() {
        return Err(format!("the equation has {} terms for {} inputs", terms.len(), inputs.len()));
    }
    let mut sizes: BTreeMap<Label, usize> = BTreeMap::new();
    let mut named = vec![];
    for (term, input) in terms.iter().zip(&inputs) {
        let letters = term.chars().filter(char::is_ascii_alphabetic).count();
        let hidden = if term.contains("...") { input.rank().checked_sub(letters) } else { None };
        let labels = labels(term, hidden)?;
        if labels.len() != input.rank() {
            return Err(format!("the term `{term}` for a value of rank {}", input.rank()));
        }
        for (&label, &dim) in labels.iter().zip(&input.dims) {
            let size = sizes.entry(label).or_insert(dim);
            if *size == 1 {
                *size = dim;
            } else if dim != 1 && dim != *size {
                return Err(format!("an axis has the sizes {size} and {dim}"));
            }
        }
        named.push(labels);
    }
    let result = match right {
        Some(right) => {
            let hidden = sizes.keys().filter(|label| matches!(label, Label::Hidden(_))).count();
            labels(right, Some(hidden))?
        }
        None => implicit(&named),
    };
    if let Some(unknown) = result.iter().find(|label| !sizes.contains_key(label)) {
        return Err(format!("the result names {unknown:?}, which no input has"));
    }
    let summed: Vec<Label> = sizes.keys().copied().filter(|label| !result.contains(label)).collect();
    contract(&inputs, &named, &result, &summed, &sizes)
}

/// Without a result: what lies under ellipses, then the letters that occur once, in order.
fn implicit(named: &[Vec<Label>]) -> Vec<Label> {
    let mut times: BTreeMap<Label, usize> = BTreeMap::new();
    named.iter().flatten().for_each(|&label| *times.entry(label).or_insert(0) += 1);
    let hidden = times.keys().rev().filter(|label| matches!(label, Label::Hidden(_)));
    let once = times.iter().filter(|&(label, &n)| matches!(label, Label::Letter(_)) && n == 1).map(|(label, _)| label);
    hidden.chain(once).copied().collect()
}

fn contract(
    inputs: &[&Constant],
    named: &[Vec<Label>],
    result: &[Label],
    summed: &[Label],
    sizes: &BTreeMap<Label, usize>,
) -> Outputs {
    let dims_of = |labels: &[Label]| labels.iter().map(|label| sizes[label]).collect::<Vec<_>>();
    let (outer, inner) = (dims_of(result), dims_of(summed));
    // How far one step along each label goes in each input; a label twice in a term walks its diagonal.
    let steps = |labels: &[Label], i: usize| -> Vec<usize> {
        let own = strides(&inputs[i].dims);
        let step = |wanted: &Label| {
            let axes = (0..named[i].len()).filter(|&axis| named[i][axis] == *wanted && inputs[i].dims[axis] != 1);
            axes.map(|axis| own[axis]).sum()
        };
        labels.iter().map(step).collect()
    };
    let outer_steps: Vec<_> = (0..inputs.len()).map(|i| steps(result, i)).collect();
    let inner_steps: Vec<_> = (0..inputs.len()).map(|i| steps(summed, i)).collect();
    let elem = inputs[0].elem;
    if let Some(other) = inputs.iter().find(|input| input.elem != elem) {
        return Err(format!("inputs of the types {elem:?} and {:?}", other.elem));
    }
    let (mut floats, mut ints) = (vec![], vec![]);
    each(&outer, |at| {
        let starts: Vec<usize> = outer_steps.iter().map(|steps| flat(at, steps)).collect();
        let (mut sum, mut whole) = (0.0f64, 0i128);
        each(&inner, |k| {
            let (mut product, mut exact) = (1.0f64, 1i128);
            for (i, input) in inputs.iter().enumerate() {
                let position = starts[i] + flat(k, &inner_steps[i]);
                match &input.values {
                    Values::Float(v) => product *= f64::from(v[position]),
                    Values::Int(v) => exact = exact.wrapping_mul(integer(elem, v[position])),
                    Values::Text(_) => return Err("inputs of strings".into()),
                }
            }
            sum += product;
            whole = whole.wrapping_add(exact);
            Ok(())
        })?;
        floats.push(elem.round(sum as f32));
        ints.push(elem.wrap(whole as i64));
        Ok(())
    })?;
    let values = if elem.is_float() { Values::Float(floats) } else { Values::Int(ints) };
    Ok(vec![Constant::new(elem, &outer, values)?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};
    use super::*;

    fn run(equation: &str, inputs: &[&Constant]) -> Constant {
        node("Einsum").string("equation", equation).run1(inputs)
    }

    #[test]
    fn equations_mean_what_they_say() {
        let a = i64s(&[2, 2], &[1, 2, 3, 4]);
        assert_eq!(run("ij->ji", &[&a]), i64s(&[2, 2], &[1, 3, 2, 4]));
        assert_eq!(run("ii->i", &[&a]), i64s(&[2], &[1, 4]));
        assert_eq!(run("ii", &[&a]), i64s(&[], &[5]));
        assert_eq!(run("ij, jk", &[&a, &a]), i64s(&[2, 2], &[7, 10, 15, 22]));
        assert_eq!(run("i,j->ij", &[&i64s(&[2], &[1, 2]), &i64s(&[2], &[3, 4])]), i64s(&[2, 2], &[3, 4, 6, 8]));
        assert_eq!(run("ij->", &[&a]), i64s(&[], &[10]));
        assert_eq!(run("ba", &[&a]), i64s(&[2, 2], &[1, 3, 2, 4]));
        let b = f32s(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let w = f32s(&[2, 2], &[1.0, 1.0, 0.0, 2.0]);
        assert_eq!(run("...d,de->...e", &[&b, &w]), f32s(&[2, 1, 2], &[1.0, 5.0, 3.0, 11.0]));
        assert_eq!(run("...ij,...jk", &[&b, &w]), f32s(&[2, 1, 2], &[1.0, 5.0, 3.0, 11.0]));
        assert_eq!(run("bnd,bmd->bnm", &[&b, &b]), f32s(&[2, 1, 1], &[5.0, 25.0]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let a = i64s(&[2, 3], &[0; 6]);
        for equation in ["ijk->i", "ii->i", "ij->k", "i_->i", "ij,jk->ik"] {
            assert!(node("Einsum").string("equation", equation).run(&[Some(&a)]).is_err(), "{equation}");
        }
    }
}
