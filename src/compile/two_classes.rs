//! A tree classifier of two classes, whose scores and label ONNX Runtime forms by rules of their own: a class that no leaf
//! of the row names has no score, and what then stands in its place depends on the base values.

use super::call::Val;
use super::constant::{Constant, Elem};
use super::elementwise::{self, binary, cast_to};
use super::forest::{Forest, Node};
use super::lower::Lowering;
use super::moves::{joined, moved, table_of};
use super::norms::unary;
use super::scores::{Rowed, label, post, sums};
use super::shape::Dim;
use crate::engine::plan::{Binary, BinaryScores, Op, PostTransform, Unary};
use std::rc::Rc;

/// A score that a row may lack.
struct Score {
    /// `[rows, 1]`; zero where it is missing.
    value: Val,
    /// Whether some leaf of the row names the class: in every row, in none, or where a boolean holds.
    there: There,
}

enum There {
    Always,
    Never,
    Where(Val),
}

fn scalar(x: f32) -> Val {
    Val::Constant(Rc::new(Constant::f32(&[], vec![x])))
}

/// Label and scores, as ONNX Runtime forms them.
pub(super) fn lower(lowering: &mut Lowering, forest: &Forest, labels: Vec<i64>, x: Rowed) -> Result<[u32; 2], String> {
    let named = |class| forest.entries().any(|entry| entry.0 == class);
    let positive = forest.entries().all(|entry| entry.1 >= 0.0);
    let one_id = named(0) != named(1);
    let threshold = if one_id && positive { 0.5 } else { 0.0 };
    if !named(1) && forest.base.len() < 2 {
        return one_sum(lowering, forest, labels, x, positive);
    }
    let [first, second] = scores(lowering, forest, x)?;
    let mut single: Option<Val> = None;
    let (given, deciding) = match (&forest.base[..], &second.there) {
        ([], There::Always) => (pair(lowering, &first.value, &second.value)?, second.value.clone()),
        ([], _) => {
            // Without a second score the first stands for both, as a margin.
            single = Some(first.value.clone());
            let deciding = chosen_by(lowering, &second, &second.value, &first.value)?;
            (pair(lowering, &first.value, &second.value)?, deciding)
        }
        (&[base], There::Always) => {
            let based = binary(lowering, Binary::Add, &first.value, &scalar(base))?;
            let first = chosen_by(lowering, &first, &based, &scalar(0.0))?;
            (pair(lowering, &first, &second.value)?, second.value.clone())
        }
        (&[zero, one], _) => {
            // The second base value goes to the first sum, and both scores are that margin.
            let margin = binary(lowering, Binary::Add, &first.value, &scalar(one))?;
            let negative = unary(lowering, Unary::Neg, &margin)?;
            let negative = chosen_by(lowering, &first, &negative, &scalar(0.0))?;
            let alone = binary(lowering, Binary::Add, &first.value, &scalar(zero))?;
            let deciding = chosen_by(lowering, &second, &margin, &alone)?;
            let left = chosen_by(lowering, &second, &negative, &alone)?;
            let right = chosen_by(lowering, &second, &margin, &scalar(0.0))?;
            (pair(lowering, &left, &right)?, deciding)
        }
        _ => {
            return Err("one base value, and rows without a score for the second class, for which ONNX Runtime gives too few scores: give every leaf a weight for it".into());
        }
    };
    let shape = given.shape();
    let (value, _) = lowering.operand(&given)?;
    let mut scored = post(lowering, forest.post, value, 2);
    if let Some(first) = single {
        if forest.post == PostTransform::Probit {
            return Err("PROBIT with rows without a score for the second class: give every leaf a weight for it".into());
        }
        let (sum, _) = lowering.operand(&first)?;
        let margin = margins(lowering, sum, BinaryScores::Margin, forest.post);
        let margin = lowering.run(margin, Elem::F32, shape.clone());
        let both = lowering.run(scored, Elem::F32, shape);
        let both = chosen_by(lowering, &second, &both, &margin)?;
        scored = lowering.operand(&both)?.0;
    }
    let (deciding, _) = lowering.operand(&deciding)?;
    // With leaves for both classes ONNX Runtime gives the labels 1 and 0, whatever the classes are called.
    let labels = if one_id { labels } else { vec![0, 1] };
    Ok([label(lowering, deciding, labels, 1, threshold), scored])
}

/// Leaves that name the first class alone, as boosting libraries write them: one sum for two classes.
fn one_sum(
    lowering: &mut Lowering,
    forest: &Forest,
    labels: Vec<i64>,
    x: Rowed,
    positive: bool,
) -> Result<[u32; 2], String> {
    if forest.post == PostTransform::Probit {
        return Err(
            "PROBIT with leaves that name one of two classes, which gives one score for two: use LOGISTIC".into()
        );
    }
    let sum = sums(lowering, forest, x, 1, Some(0), forest.base.clone())?;
    // With LOGISTIC both scores come from the margin, positive or not.
    let logistic = forest.post == PostTransform::Logistic;
    let mode = if positive && !logistic { BinaryScores::Probability } else { BinaryScores::Margin };
    let scores = margins(lowering, sum, mode, forest.post);
    let threshold = if positive { 0.5 } else { 0.0 };
    Ok([label(lowering, sum, labels, 1, threshold), scores])
}

/// One score as two: only LOGISTIC does anything to them.
fn margins(lowering: &mut Lowering, sum: u32, mode: BinaryScores, post: PostTransform) -> u32 {
    let post = if post == PostTransform::Logistic { post } else { PostTransform::None };
    let width = lowering.width(sum) * 2;
    lowering.float_step(Op::BinaryScores { mode, post }, &[sum], width)
}

/// The sums of both classes, and where they are.
fn scores(lowering: &mut Lowering, forest: &Forest, x: Rowed) -> Result<[Score; 2], String> {
    let value = sums(lowering, forest, x, 2, None, vec![])?;
    let both = x.scores(lowering, value, 2);
    let counts = match (0..2).any(|class| !forest.always_scores(class)) {
        true => Some(counts(lowering, forest, x)?),
        false => None,
    };
    let mut of = |class: usize| -> Result<Score, String> {
        let there = if !forest.entries().any(|entry| entry.0 == class) {
            There::Never
        } else if forest.always_scores(class) {
            There::Always
        } else {
            let counts = counts.as_ref().ok_or("no counts")?;
            let count = column(lowering, counts, class)?;
            There::Where(binary(lowering, Binary::Greater, &count, &scalar(0.0))?)
        };
        Ok(Score { value: column(lowering, &both, class)?, there })
    };
    Ok([of(0)?, of(1)?])
}

/// How many leaves of a row name each target, `[rows, targets]`: above zero where the row has a score for it.
pub(super) fn counts(lowering: &mut Lowering, forest: &Forest, x: Rowed) -> Result<Val, String> {
    let mut marks = Forest { base: vec![], aggregate: crate::engine::plan::Aggregate::Sum, ..forest.clone() };
    for node in marks.trees.iter_mut().flatten() {
        if let Node::Leaf(entries) = node {
            entries.iter_mut().for_each(|entry| entry.1 = 1.0);
        }
    }
    let value = sums(lowering, &marks, x, forest.targets, None, vec![])?;
    Ok(x.scores(lowering, value, forest.targets))
}

/// One column of `[rows, columns]`, as `[rows, 1]`.
fn column(lowering: &mut Lowering, both: &Val, at: usize) -> Result<Val, String> {
    let table = table_of(both)?.pick(1, &[at]);
    moved(lowering, both, &table, vec![both.shape()[0], Dim::Fixed(1)])
}

fn pair(lowering: &mut Lowering, first: &Val, second: &Val) -> Result<Val, String> {
    joined(lowering, &[first.clone(), second.clone()], 1)
}

/// `yes` where the row has the score, else `no`; of the shape of the two.
fn chosen_by(lowering: &mut Lowering, score: &Score, yes: &Val, no: &Val) -> Result<Val, String> {
    let whole = |lowering: &mut Lowering, val: &Val| -> Result<Val, String> {
        // A number alone stands for a column.
        if !val.shape().is_empty() {
            return Ok(val.clone());
        }
        let zeros = zeros(lowering, score)?;
        binary(lowering, Binary::Add, &zeros, val)
    };
    match &score.there {
        There::Always => whole(lowering, yes),
        There::Never => whole(lowering, no),
        There::Where(condition) => elementwise::chosen_by(lowering, condition, yes, no),
    }
}

/// A column of zeros for the rows of a score.
fn zeros(lowering: &mut Lowering, score: &Score) -> Result<Val, String> {
    let never = binary(lowering, Binary::Less, &score.value, &score.value)?;
    cast_to(lowering, &never, Elem::F32)
}
