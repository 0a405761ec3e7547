//! Tree ensembles, one row and one tree after the other, sums in f32 in ONNX's order: bit for bit
//! what ONNX Runtime gives.

use super::super::constant::{Constant, Elem, Values};
use super::super::forest::{Forest, Labels, Mode, Node};
use super::super::node::Spec;
use super::learned::rows;
use super::scores::{self, Second};
use super::{Args, Evaluator, Outputs};
use crate::engine::plan::{Aggregate, PostTransform};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "TreeEnsembleRegressor" | "TreeEnsembleClassifier" | "TreeEnsemble" => ensemble,
        _ => return None,
    })
}

fn ensemble(spec: &Spec, args: &Args) -> Outputs {
    let forest = Forest::parse(spec)?;
    let (rows, width) = rows(args.get(0)?)?;
    let n = rows.len();
    let facts = Facts::of(&forest);
    let (mut labels, mut y) = (vec![], vec![]);
    for row in &rows {
        let sums =
            sums(&forest, row).ok_or_else(|| format!("a split reads a column past the {width} that there are"))?;
        match &forest.labels {
            None => y.extend(regress(&forest, &sums)),
            Some(names) => {
                let (scores, label) = classify(&forest, names, &facts, &sums)?;
                y.extend(scores);
                labels.push(label);
            }
        }
    }
    let width = y.len().checked_div(n).unwrap_or(forest.targets);
    let scores = Constant::new(Elem::F32, &[n, width], Values::Float(y))?;
    Ok(if forest.labels.is_some() { vec![Constant::i64(&[n], labels), scores] } else { vec![scores] })
}

/// One sum for each target, none where no leaf of the row names it; nothing if the row is too short.
fn sums(forest: &Forest, row: &[f32]) -> Option<Vec<Option<f32>>> {
    let mut sums: Vec<Option<f32>> = vec![None; forest.targets];
    for tree in &forest.trees {
        let mut node = &tree[0];
        let entries = loop {
            match node {
                Node::Leaf(entries) => break entries,
                Node::Branch { feature, mode, value, missing_yes, yes, no } => {
                    let v = *row.get(*feature)?;
                    node = &tree[if takes_yes(*mode, *missing_yes, v, *value) { *yes } else { *no }];
                }
            }
        };
        for &(target, weight) in entries {
            let better = |best: f32| match forest.aggregate {
                Aggregate::Min => weight < best,
                _ => weight > best,
            };
            sums[target] = Some(match (sums[target], forest.aggregate) {
                (sum, Aggregate::Sum | Aggregate::Average) => sum.unwrap_or(0.0) + weight,
                (Some(best), _) if !better(best) => best,
                _ => weight,
            });
        }
    }
    if forest.aggregate == Aggregate::Average {
        for sum in sums.iter_mut().flatten() {
            *sum /= forest.trees.len() as f32;
        }
    }
    Some(sums)
}

/// Whether a value takes a branch's true side.
fn takes_yes(mode: Mode, missing_yes: bool, v: f32, split: f32) -> bool {
    if v.is_nan() && missing_yes {
        return true;
    }
    match mode {
        Mode::Leq => v <= split,
        Mode::Lt => v < split,
        Mode::Gte => v >= split,
        Mode::Gt => v > split,
        Mode::Eq => v == split,
        Mode::Neq => v != split,
    }
}

/// A target that no leaf of the row names is 0, whatever its base value is.
fn regress(forest: &Forest, sums: &[Option<f32>]) -> Vec<f32> {
    let base = |target: usize| forest.base.get(target).copied().unwrap_or(0.0);
    let scores: Vec<f32> = (0..forest.targets).map(|t| sums[t].map_or(0.0, |sum| sum + base(t))).collect();
    scores::finish(forest.post, &scores, Second::None)
}

/// What ONNX Runtime asks of a whole classifier.
struct Facts {
    /// Two classes, of which the leaves name one alone.
    one_of_two: bool,
    /// No leaf weighs less than zero, so that the one sum is a probability.
    positive: bool,
}

impl Facts {
    fn of(forest: &Forest) -> Self {
        let named = |class: usize| forest.entries().any(|entry| entry.0 == class);
        Facts {
            one_of_two: forest.targets == 2 && named(0) != named(1),
            positive: forest.entries().all(|entry| entry.1 >= 0.0),
        }
    }
}

/// ONNX Runtime's classifier: scores after the post transform, and the label. A class that no leaf of the
/// row names scores 0, whatever its base value is.
fn classify(forest: &Forest, labels: &Labels, facts: &Facts, sums: &[Option<f32>]) -> Result<(Vec<f32>, i64), String> {
    let label = |class: usize| match labels {
        Labels::Ints(ints) => ints[class],
        Labels::Strings(_) => class as i64,
    };
    match *sums {
        // One class: its label is 1 or 0.
        [sum] => {
            let score = sum.unwrap_or(0.0) + forest.base.first().copied().unwrap_or(0.0);
            Ok((scores::finish(forest.post, &[score], Second::None), i64::from(score > 0.0)))
        }
        [first, second] => {
            let (scores, class) = of_two(forest, facts, first, second)?;
            // Where both classes have leaves, ONNX Runtime answers 0 and 1 whatever the labels are.
            Ok((scores, if facts.one_of_two { label(class) } else { class as i64 }))
        }
        _ => {
            let (scores, class) = of_many(forest, sums);
            Ok((scores, label(class)))
        }
    }
}

/// The first of the best classes, among those that have a score.
fn of_many(forest: &Forest, sums: &[Option<f32>]) -> (Vec<f32>, usize) {
    let scored = |(c, sum): (usize, &Option<f32>)| match forest.base.get(c) {
        Some(base) => Some(sum.map_or(*base, |sum| sum + base)),
        None => *sum,
    };
    let scored: Vec<Option<f32>> = sums.iter().enumerate().map(scored).collect();
    let mut best: Option<(usize, f32)> = None;
    for (class, score) in scored.iter().enumerate() {
        if let Some(score) = *score
            && best.is_none_or(|(_, top)| score > top)
        {
            best = Some((class, score));
        }
    }
    let scores: Vec<f32> = scored.iter().map(|score| score.unwrap_or(0.0)).collect();
    (scores::finish(forest.post, &scores, Second::None), best.map_or(0, |(class, _)| class))
}

/// Two classes. With two base values and a second score, that score is replaced by the second base value plus
/// the first score, and the first by its negative; so ONNX Runtime has it.
fn of_two(
    forest: &Forest,
    facts: &Facts,
    first: Option<f32>,
    second: Option<f32>,
) -> Result<(Vec<f32>, usize), String> {
    let (first, second) = match (&forest.base[..], second) {
        (&[_, base], Some(_)) => {
            let score = base + first.unwrap_or(0.0);
            (first.map(|_| -score), Some(score))
        }
        (&[base, _], None) => (first.map(|first| first + base), None),
        (&[base], second) => (first.map(|first| first + base), second),
        (_, second) => (first, second),
    };
    let (threshold, one_score) = match (facts.one_of_two, facts.positive) {
        (true, true) => (0.5, Second::Probability),
        (true, false) => (0.0, Second::Margin),
        (false, _) => (0.0, Second::Margin),
    };
    let class = usize::from(second.or(first).unwrap_or(0.0) > threshold);
    let (zero, one) = (first.unwrap_or(0.0), second.unwrap_or(0.0));
    if second.is_some() || forest.base.len() == 2 {
        return Ok((scores::finish(forest.post, &[zero, one], Second::None), class));
    }
    // Here ONNX Runtime leaves one of the two outputs unwritten.
    if forest.post == PostTransform::Probit {
        return Err("PROBIT with one score for two classes".into());
    }
    if !facts.one_of_two && !forest.base.is_empty() {
        return Err("one of base_values, where the leaves name both classes and a row reaches one alone".into());
    }
    Ok((scores::finish(forest.post, &[zero], one_score), class))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NodeBuilder, f32s, i64s, node};

    /// Two stumps on columns 0 and 1; leaves name `ids`.
    fn stumps(op: &str, kind: &str, ids: &[i64], weights: &[f32]) -> NodeBuilder {
        node(op)
            .domain("ai.onnx.ml")
            .opset(3)
            .ints("nodes_treeids", &[0, 0, 0, 1, 1, 1])
            .ints("nodes_nodeids", &[0, 1, 2, 0, 1, 2])
            .ints("nodes_featureids", &[0, 0, 0, 1, 0, 0])
            .floats("nodes_values", &[0.5, 0.0, 0.0, 1.5, 0.0, 0.0])
            .strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"])
            .ints("nodes_truenodeids", &[1, 0, 0, 1, 0, 0])
            .ints("nodes_falsenodeids", &[2, 0, 0, 2, 0, 0])
            .ints("nodes_missing_value_tracks_true", &[1, 0, 0, 0, 0, 0])
            .ints(&format!("{kind}_treeids"), &[0, 0, 1, 1])
            .ints(&format!("{kind}_nodeids"), &[1, 2, 1, 2])
            .ints(&format!("{kind}_ids"), ids)
            .floats(&format!("{kind}_weights"), weights)
    }

    #[test]
    fn regressors_walk_sum_and_aggregate() {
        let x = f32s(&[3, 2], &[0.0, 2.0, 1.0, 0.0, f32::NAN, f32::NAN]);
        let forest = || stumps("TreeEnsembleRegressor", "target", &[0; 4], &[1.0, 2.0, 10.0, 20.0]);
        assert_eq!(forest().run1(&[&x]), f32s(&[3, 1], &[11.0, 22.0, 21.0]));
        let with = |function: &str| forest().string("aggregate_function", function).floats("base_values", &[0.5]);
        assert_eq!(with("AVERAGE").run1(&[&x]), f32s(&[3, 1], &[6.0, 11.5, 11.0]));
        assert_eq!(with("MIN").run1(&[&x]), f32s(&[3, 1], &[1.5, 2.5, 1.5]));
        assert_eq!(with("MAX").run1(&[&x]), f32s(&[3, 1], &[10.5, 20.5, 20.5]));
        assert!(forest().run(&[Some(&f32s(&[1, 1], &[1.0]))]).unwrap_err().contains("column"));
    }

    #[test]
    fn classifiers_score_every_class_or_one_of_two() {
        let x = f32s(&[2, 2], &[0.0, 2.0, 1.0, 0.0]);
        let three = stumps("TreeEnsembleClassifier", "class", &[0, 1, 2, 1], &[1.0, 2.0, 3.0, 4.0]);
        let outputs = three.ints("classlabels_int64s", &[5, 6, 7]).run(&[Some(&x)]).unwrap();
        assert_eq!(outputs, [i64s(&[2], &[7, 6]), f32s(&[2, 3], &[1.0, 0.0, 3.0, 0.0, 6.0, 0.0])]);
        let margin = stumps("TreeEnsembleClassifier", "class", &[0; 4], &[-1.0, 2.0, 0.5, 1.0]);
        let outputs = margin.ints("classlabels_int64s", &[5, 6]).run(&[Some(&x)]).unwrap();
        assert_eq!(outputs, [i64s(&[2], &[5, 6]), f32s(&[2, 2], &[0.5, -0.5, -3.0, 3.0])]);
        let positive = stumps("TreeEnsembleClassifier", "class", &[0; 4], &[0.125, 0.25, 0.25, 0.5]);
        let outputs = positive.strings("classlabels_strings", &["no", "yes"]).run(&[Some(&x)]).unwrap();
        assert_eq!(outputs, [i64s(&[2], &[0, 1]), f32s(&[2, 2], &[0.625, 0.375, 0.25, 0.75])]);
    }

    /// Each row as ONNX Runtime 1.32 answers it: two trees, rows that lack a score of either class.
    #[test]
    fn two_classes_follow_onnx_runtime_where_a_score_is_missing() {
        let x = f32s(&[4, 2], &[0.0, 2.0, 1.0, 2.0, 0.0, 0.0, 1.0, 0.0]);
        let forest = |ids: &[i64]| {
            stumps("TreeEnsembleClassifier", "class", ids, &[-0.25, 0.5, -0.5, 0.25])
                .ints("classlabels_int64s", &[7, 9])
        };
        let both = || forest(&[0, 1, 1, 0]);
        let answer = |node: NodeBuilder| node.run(&[Some(&x)]).unwrap();
        let labels = |ids: [i64; 4]| i64s(&[4], &ids);
        // Sums: (-0.25, -0.5), (none, 0), (0, none), (0.25, 0.5).
        let plain = [-0.25, -0.5, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5];
        assert_eq!(answer(both()), [labels([0, 0, 0, 1]), f32s(&[4, 2], &plain)]);
        let based = [0.125, -0.125, 0.0, 0.125, 0.5, 0.0, -0.375, 0.375];
        let two = answer(both().floats("base_values", &[0.5, 0.125]));
        assert_eq!(two, [labels([0, 1, 1, 1]), f32s(&[4, 2], &based)]);
        // One class id alone: its labels are the node's own, and a base value of the other is not used.
        let second = answer(forest(&[1; 4]).floats("base_values", &[0.5]));
        assert_eq!(second, [labels([7, 7, 7, 9]), f32s(&[4, 2], &[0.0, -0.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.75])]);
        let first = answer(forest(&[0; 4]).floats("base_values", &[0.5, 0.125]));
        assert_eq!(first, [labels([7, 9, 9, 9]), f32s(&[4, 2], &[-0.25, 0.0, 0.5, 0.0, 0.5, 0.0, 1.25, 0.0])]);
    }
}
