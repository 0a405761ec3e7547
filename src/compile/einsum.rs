//! Einsum: two inputs at a time, each sum of products as a matrix product over the labels that both share.

use super::call::{Call, Lowered, Val};
use super::elementwise::binary;
use super::lower::Lowering;
use super::matrix::product;
use super::moves::{moved, permuted, reshaped, table_of};
use super::norms::reduced;
use super::shape::{self, Dim};
use crate::engine::plan::{Binary, Reduce};
use std::collections::BTreeSet;

/// Batch axes of one product of the plan.
const MAX_BATCH: usize = 4;

/// Lowers Einsum; none if it is another operator.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    (call.spec.op == "Einsum").then(|| einsum(lowering, call))
}

/// An axis's name: a letter, or its place under the ellipsis counted from the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Hidden(usize),
    Letter(char),
}

/// A value whose axes have names, each once.
#[derive(Clone)]
struct Named {
    val: Val,
    labels: Vec<Label>,
}

/// The labels of a term whose ellipsis stands for so many axes.
fn labels(term: &str, hidden: usize) -> Result<Vec<Label>, String> {
    let mut list = vec![];
    let mut rest = term;
    while let Some(letter) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("...") {
            list.extend((0..hidden).rev().map(Label::Hidden));
            rest = behind;
        } else if letter.is_ascii_alphabetic() {
            list.push(Label::Letter(letter));
            rest = &rest[1..];
        } else {
            return Err(format!("its equation has `{letter}`"));
        }
    }
    Ok(list)
}

fn einsum(lowering: &mut Lowering, call: &Call) -> Lowered {
    let equation: String = call.spec.string("equation").unwrap_or_default().split_whitespace().collect();
    let (left, right) = equation.split_once("->").map_or((equation.as_str(), None), |(l, r)| (l, Some(r)));
    let terms: Vec<&str> = left.split(',').collect();
    let vals: Vec<&Val> = call.given().collect();
    if vals.is_empty() || terms.len() != vals.len() {
        return Err(format!("its equation has {} terms for {} inputs", terms.len(), vals.len()));
    }
    let mut all: Vec<Vec<Label>> = vec![];
    for (term, val) in terms.iter().zip(&vals) {
        let rank = val.shape().len();
        let letters = term.chars().filter(char::is_ascii_alphabetic).count();
        let list = labels(term, rank.saturating_sub(letters))?;
        if list.len() != rank {
            return Err(format!("the term `{term}` for a value of rank {rank}"));
        }
        all.push(list);
    }
    let result = match right {
        Some(right) => {
            let hidden: BTreeSet<&Label> = all.iter().flatten().filter(|l| matches!(l, Label::Hidden(_))).collect();
            labels(right, hidden.len())?
        }
        None => implicit(&all),
    };
    let mut rest = vec![];
    for (labels, val) in all.into_iter().zip(vals) {
        rest.push(diagonal(lowering, &Named { val: val.clone(), labels })?);
    }
    let mut left = rest.remove(0);
    while !rest.is_empty() {
        let right = rest.remove(0);
        let later: BTreeSet<Label> = result.iter().chain(rest.iter().flat_map(|n| &n.labels)).copied().collect();
        left = contract(lowering, left, right, &later)?;
    }
    let kept: BTreeSet<Label> = result.iter().copied().collect();
    let left = summed(lowering, left, &kept)?;
    let order: Option<Vec<usize>> = result.iter().map(|l| left.labels.iter().position(|own| own == l)).collect();
    let order = order.ok_or("its result names an axis that no input has")?;
    Ok(vec![permuted(lowering, &left.val, &order)?])
}

/// Without a result: what lies under ellipses, then the letters that occur once, in their order.
fn implicit(all: &[Vec<Label>]) -> Vec<Label> {
    let names: BTreeSet<Label> = all.iter().flatten().copied().collect();
    let times = |label: &Label| all.iter().flatten().filter(|l| *l == label).count();
    let hidden = names.iter().rev().filter(|l| matches!(l, Label::Hidden(_)));
    hidden.chain(names.iter().filter(|l| matches!(l, Label::Letter(_)) && times(l) == 1)).copied().collect()
}

/// Axes that share a name within one term become one: their diagonal.
fn diagonal(lowering: &mut Lowering, named: &Named) -> Result<Named, String> {
    let mut labels: Vec<Label> = vec![];
    for label in &named.labels {
        if !labels.contains(label) {
            labels.push(*label);
        }
    }
    if labels.len() == named.labels.len() {
        return Ok(named.clone());
    }
    let from = named.val.shape();
    let mut to = vec![];
    for label in &labels {
        let own: Vec<Dim> = (0..from.len()).filter(|&i| named.labels[i] == *label).map(|i| from[i]).collect();
        let longest = own.iter().copied().find(|dim| *dim != Dim::Fixed(1)).unwrap_or(Dim::Fixed(1));
        if own.len() > 1 && own.iter().any(|dim| dim.is_rows() || (*dim != longest && *dim != Dim::Fixed(1))) {
            return Err("a diagonal over candidates or axes of two sizes".into());
        }
        to.push(longest);
    }
    let whole = table_of(&named.val)?;
    let place = |i: usize| labels.iter().position(|label| *label == named.labels[i]).unwrap_or(0);
    let table = whole.gather(&shape::inner(&to), |at| {
        Some((0..from.len()).map(|i| if from[i] == Dim::Fixed(1) { 0 } else { at[place(i)] }).collect())
    });
    Ok(Named { val: moved(lowering, &named.val, &table, to)?, labels })
}

/// Summed over every label that is not kept.
fn summed(lowering: &mut Lowering, named: Named, kept: &BTreeSet<Label>) -> Result<Named, String> {
    let axes: Vec<usize> = (0..named.labels.len()).filter(|&i| !kept.contains(&named.labels[i])).collect();
    if axes.is_empty() {
        return Ok(named);
    }
    let val = reduced(lowering, &named.val, Reduce::Sum, &axes, false)?;
    Ok(Named { val, labels: named.labels.into_iter().filter(|label| kept.contains(label)).collect() })
}

/// The value with these axes, in this order; one that it lacks is 1.
fn arranged(lowering: &mut Lowering, named: &Named, order: &[Label]) -> Result<Val, String> {
    let own = |label: &Label| named.labels.iter().position(|l| l == label);
    let places: Vec<usize> = order.iter().filter_map(own).collect();
    let val = permuted(lowering, &named.val, &places)?;
    let mut dims = val.shape().into_iter();
    let shape = order.iter().map(|label| own(label).and_then(|_| dims.next()).unwrap_or(Dim::Fixed(1))).collect();
    reshaped(&val, shape)
}

/// Neighbouring axes as one.
fn merged(dims: &[Dim]) -> Result<Dim, String> {
    if shape::candidates(dims) > 1 {
        return Err("two axes of candidates in one factor".into());
    }
    Ok(match shape::rows_axis(dims) {
        None => Dim::Fixed(shape::width(dims)),
        Some(at) => {
            let Dim::Rows { before, after } = dims[at] else { return Err("no candidates".into()) };
            Dim::Rows { before: before * shape::width(&dims[..at]), after: after * shape::width(&dims[at + 1..]) }
        }
    })
}

/// The sum of products of two values; `kept` are the labels that somebody still needs.
fn contract(lowering: &mut Lowering, a: Named, b: Named, kept: &BTreeSet<Label>) -> Result<Named, String> {
    let of = |named: &Named| named.labels.iter().copied().collect::<BTreeSet<Label>>();
    let (in_a, in_b) = (of(&a), of(&b));
    let (keep_a, keep_b) = (kept | &in_b, kept | &in_a);
    let (a, b) = (summed(lowering, a, &keep_a)?, summed(lowering, b, &keep_b)?);
    let both = |label: &&Label| in_a.contains(label) && in_b.contains(label);
    let sorted = |list: &[Label], wanted: &dyn Fn(&Label) -> bool| {
        list.iter().copied().filter(|l| wanted(l)).collect::<Vec<_>>()
    };
    let batch = sorted(&a.labels, &|l| both(&l) && kept.contains(l));
    let inner = sorted(&a.labels, &|l| both(&l) && !kept.contains(l));
    let rows = sorted(&a.labels, &|l| !in_b.contains(l));
    let columns = sorted(&b.labels, &|l| !in_a.contains(l));
    let dim = |named: &Named, label: &Label| {
        named.labels.iter().position(|l| l == label).map_or(Dim::Fixed(1), |at| named.val.shape()[at])
    };
    let alike = inner.iter().all(|label| dim(&a, label) == dim(&b, label));
    // A product over the candidates goes over them alone.
    let joined = inner.iter().any(|label| dim(&a, label).is_rows()) && inner.len() > 1;
    let order = [&batch[..], &rows[..], &columns[..], &inner[..]].concat();
    let outer = &order[..order.len() - inner.len()];
    if inner.is_empty() || !alike || joined || !a.val.elem().is_float() || batch.len() > MAX_BATCH {
        let (x, y) = (arranged(lowering, &a, &order)?, arranged(lowering, &b, &order)?);
        let val = binary(lowering, Binary::Mul, &x, &y)?;
        let kept = outer.iter().copied().collect();
        return summed(lowering, Named { val, labels: order }, &kept);
    }
    let parts = |lowering: &mut Lowering,
                 named: &Named,
                 first: &[Label],
                 second: &[Label]|
     -> Result<(Val, Vec<Dim>), String> {
        let val = arranged(lowering, named, &[&batch[..], first, second].concat())?;
        let dims = val.shape();
        let (lead, own) = dims.split_at(batch.len());
        let (one, two) = own.split_at(first.len());
        let shape = [lead, &[merged(one)?, merged(two)?]].concat();
        Ok((reshaped(&val, shape)?, dims))
    };
    let (x, a_dims) = parts(lowering, &a, &rows, &inner)?;
    let (y, b_dims) = parts(lowering, &b, &inner, &columns)?;
    let val = product(lowering, &x, &y)?;
    let n = batch.len();
    let shape = [&val.shape()[..n], &a_dims[n..n + rows.len()], &b_dims[n + inner.len()..]].concat();
    Ok(Named { val: reshaped(&val, shape)?, labels: outer.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::node;
    use super::super::twins::Given::{Each, Known, Shared};
    use super::super::twins::{agree, noise, numbers, refusal};

    fn check(equation: &str, dims: [&[usize]; 2]) {
        let node = node("Einsum").string("equation", equation);
        let (a, b) = (noise(dims[0], 1), noise(dims[1], 2));
        agree(&node, &[Each(a.clone()), Known(b.clone())], 1);
        agree(&node, &[Shared(a.clone()), Shared(b.clone())], 1);
        if dims[0][0] == dims[1][0] {
            agree(&node, &[Each(a), Each(b)], 1);
        }
    }

    #[test]
    fn products_over_shared_labels() {
        check("nd,dk->nk", [&[5, 3], &[3, 2]]);
        check("nd,kd->nk", [&[5, 3], &[2, 3]]);
        check("ad,dk", [&[5, 3], &[3, 2]]);
        check("nld,dhk->nhlk", [&[5, 4, 3], &[3, 2, 6]]);
        check("...d,dk->...k", [&[5, 4, 3], &[3, 2]]);
        check("nld,l->nd", [&[5, 4, 3], &[4]]);
        let both = |equation: &str, dims: [&[usize]; 2]| {
            let node = node("Einsum").string("equation", equation);
            agree(&node, &[Each(noise(dims[0], 1)), Each(noise(dims[1], 2))], 1);
        };
        both("nd,nd->n", [&[5, 3], &[5, 3]]);
        both("nlhd,nmhd->nhlm", [&[5, 4, 2, 3], &[5, 6, 2, 3]]);
        both("ni,nj->nij", [&[5, 3], &[5, 4]]);
        both("nij,nik->njk", [&[5, 2, 3], &[5, 2, 4]]);
        both("nd,nd->", [&[5, 3], &[5, 3]]);
    }

    #[test]
    fn one_input_three_inputs_and_whole_numbers() {
        let one = |equation: &str, dims: &[usize]| {
            agree(&node("Einsum").string("equation", equation), &[Each(noise(dims, 1))], 1)
        };
        one("nij->nji", &[5, 3, 4]);
        one("nii->ni", &[5, 3, 3]);
        one("nij->n", &[5, 3, 4]);
        one("nii", &[5, 3, 3]);
        let three = node("Einsum").string("equation", "nd,dk,k->n");
        agree(&three, &[Each(noise(&[5, 3], 1)), Known(noise(&[3, 2], 2)), Shared(noise(&[2], 3))], 1);
        let whole = node("Einsum").string("equation", "nd,dk->nk");
        agree(&whole, &[Each(numbers(&[5, 3], -9, 9, 1)), Known(numbers(&[3, 2], -9, 9, 2))], 1);
        let odd = node("Einsum").string("equation", "n1->n");
        assert!(refusal(&odd, &[Each(noise(&[5, 3], 1))]).contains("`1`"));
    }
}
