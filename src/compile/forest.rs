//! A tree ensemble as its ONNX node states it, read and validated once for both the naive
//! operator and the lowering. Order is ONNX's own: trees as they appear, nodes as listed, a
//! leaf's entries as listed.
//!
//! What ONNX leaves open is decided as ONNX Runtime 1.32 decides it: a tree's root is its first
//! listed node, entries of branch nodes are ignored, and with one target only a leaf's first
//! entry counts.

use super::node::Spec;
use crate::engine::plan::{Aggregate, PostTransform};
use std::collections::HashMap;

/// Nodes of one tree, so that shared parts cannot grow without bound.
const MAX_NODES: usize = 1 << 20;

/// How a branch compares the row's value with the split value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// One node of a tree.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Branch {
        feature: usize,
        mode: Mode,
        value: f32,
        /// A missing value (NaN) takes the true side.
        missing_yes: bool,
        /// Indices into the tree's nodes.
        yes: usize,
        no: usize,
    },
    /// (target, weight), in ONNX order.
    Leaf(Vec<(usize, f32)>),
}

/// Labels of a classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    /// String labels have no numeric form; only their number is kept.
    Strings(usize),
}

/// A whole ensemble; `trees[t][0]` is the root of tree `t`.
#[derive(Debug, Clone)]
pub(super) struct Forest {
    pub trees: Vec<Vec<Node>>,
    /// Score columns: targets of a regressor, classes of a classifier.
    pub targets: usize,
    pub base: Vec<f32>,
    pub post: PostTransform,
    pub aggregate: Aggregate,
    /// A classifier's labels; none for a regressor.
    pub labels: Option<Labels>,
}

/// (tree id, node id) -> (tree, node).
type Places = HashMap<(i64, i64), (usize, usize)>;

impl Forest {
    /// Reads a TreeEnsembleRegressor, TreeEnsembleClassifier or TreeEnsemble. The message says what is wrong.
    pub fn parse(spec: &Spec) -> Result<Self, String> {
        if spec.op == "TreeEnsemble" {
            return super::tree_ensemble::parse(spec);
        }
        let classifier = spec.op == "TreeEnsembleClassifier";
        for name in
            ["nodes_values_as_tensor", "base_values_as_tensor", "target_weights_as_tensor", "class_weights_as_tensor"]
        {
            if spec.has(name) {
                return Err(format!("`{name}` (double-precision trees): export with float32 thresholds and weights"));
            }
        }
        let labels = classifier.then(|| labels(spec)).transpose()?;
        let targets = match &labels {
            Some(Labels::Ints(ints)) => ints.len(),
            Some(Labels::Strings(n)) => *n,
            None => usize::try_from(spec.int("n_targets", 1)).map_err(|_| "negative n_targets".to_string())?,
        };
        if targets == 0 || targets > 4096 {
            return Err(format!("{targets} targets: between 1 and 4096 are possible"));
        }
        let mut forest = Forest {
            trees: vec![],
            targets,
            base: spec.floats("base_values").to_vec(),
            post: post_transform(&spec.string("post_transform").unwrap_or_else(|| "NONE".into()))?,
            aggregate: aggregate(&spec.string("aggregate_function").unwrap_or_else(|| "SUM".into()))?,
            labels,
        };
        let bases = forest.base.len();
        if bases != 0 && bases != targets && !(classifier && targets == 2 && bases == 1) {
            return Err(format!("{bases} base_values for {targets} targets"));
        }
        let places = forest.read_nodes(spec)?;
        forest.read_leaves(spec, &places, if classifier { "class" } else { "target" })?;
        for (t, tree) in forest.trees.iter_mut().enumerate() {
            if check_tree(tree).is_err() {
                *tree = unshared(tree).map_err(|problem| format!("tree {t}: {problem}"))?;
            }
        }
        Ok(forest)
    }

    /// Fills `trees` with branches and empty leaves; gives each (tree id, node id) its place.
    fn read_nodes(&mut self, spec: &Spec) -> Result<Places, String> {
        let modes = spec.strings("nodes_modes");
        let n = modes.len();
        let ints = |name: &str| match spec.ints(name) {
            Some(list) if list.len() == n => Ok(list),
            Some(list) => Err(format!("`{name}` has {} entries where nodes_modes has {n}", list.len())),
            None => Err(format!("`{name}` is missing")),
        };
        let (tree_ids, node_ids, features) =
            (ints("nodes_treeids")?, ints("nodes_nodeids")?, ints("nodes_featureids")?);
        let (yes_ids, no_ids) = (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
        let values = spec.floats("nodes_values");
        let missing = spec.ints("nodes_missing_value_tracks_true").unwrap_or(&[]);
        if n == 0 || values.len() != n || !(missing.is_empty() || missing.len() == n) {
            return Err(format!("{n} nodes with {} values and {} missing directions", values.len(), missing.len()));
        }
        let mut places = HashMap::with_capacity(n);
        let mut seen = std::collections::HashSet::new();
        let mut starts = vec![];
        for i in 0..n {
            if i == 0 || tree_ids[i] != tree_ids[i - 1] {
                if !seen.insert(tree_ids[i]) {
                    return Err(format!("the nodes of tree {} are not listed together", tree_ids[i]));
                }
                starts.push(i);
            }
            let place = (starts.len() - 1, i - starts[starts.len() - 1]);
            if places.insert((tree_ids[i], node_ids[i]), place).is_some() {
                return Err(format!("tree {} has node {} twice", tree_ids[i], node_ids[i]));
            }
        }
        starts.push(n);
        for bounds in starts.windows(2) {
            let mut tree = Vec::with_capacity(bounds[1] - bounds[0]);
            for i in bounds[0]..bounds[1] {
                let Some(mode) = mode(&modes[i])? else {
                    tree.push(Node::Leaf(vec![]));
                    continue;
                };
                let child = |id: i64| {
                    places
                        .get(&(tree_ids[i], id))
                        .map(|place| place.1)
                        .ok_or_else(|| format!("tree {}: node {} has no child {id}", tree_ids[i], node_ids[i]))
                };
                let feature = usize::try_from(features[i]).ok().filter(|&f| f < 1 << 24);
                let feature = feature.ok_or_else(|| format!("feature {} is out of range", features[i]))?;
                if values[i].is_nan() {
                    return Err(format!("tree {}: node {} splits on NaN", tree_ids[i], node_ids[i]));
                }
                let missing_yes = missing.get(i) == Some(&1);
                tree.push(Node::Branch {
                    feature,
                    mode,
                    value: values[i],
                    missing_yes,
                    yes: child(yes_ids[i])?,
                    no: child(no_ids[i])?,
                });
            }
            self.trees.push(tree);
        }
        Ok(places)
    }

    fn read_leaves(&mut self, spec: &Spec, places: &Places, kind: &str) -> Result<(), String> {
        let list = |name: &str| spec.ints(&format!("{kind}_{name}")).unwrap_or(&[]);
        let (tree_ids, node_ids, ids) = (list("treeids"), list("nodeids"), list("ids"));
        let weights = spec.floats(&format!("{kind}_weights"));
        if [tree_ids.len(), node_ids.len(), ids.len()].iter().any(|&n| n != weights.len()) {
            return Err(format!("the lists {kind}_treeids, _nodeids, _ids and _weights differ in length"));
        }
        for i in 0..weights.len() {
            let place = places.get(&(tree_ids[i], node_ids[i]));
            let &(tree, node) = place.ok_or_else(|| {
                format!("a weight names node {} of tree {}, which is not there", node_ids[i], tree_ids[i])
            })?;
            let target = usize::try_from(ids[i]).ok().filter(|&id| id < self.targets);
            let target = target.ok_or_else(|| format!("a weight names target {} of {}", ids[i], self.targets))?;
            if !weights[i].is_finite() {
                return Err(format!("tree {}: node {} has the weight {}", tree_ids[i], node_ids[i], weights[i]));
            }
            if let Node::Leaf(entries) = &mut self.trees[tree][node]
                && (self.targets > 1 || entries.is_empty())
            {
                entries.push((target, weights[i]));
            }
        }
        for tree in &self.trees {
            if tree.iter().any(|node| matches!(node, Node::Leaf(entries) if entries.is_empty())) {
                return Err("a leaf without a weight".into());
            }
        }
        Ok(())
    }

    /// All leaf entries.
    pub fn entries(&self) -> impl Iterator<Item = &(usize, f32)> {
        self.trees.iter().flatten().flat_map(|node| match node {
            Node::Leaf(entries) => entries.as_slice(),
            Node::Branch { .. } => &[],
        })
    }

    /// Whether every row gets at least one entry for `target`.
    pub fn always_scores(&self, target: usize) -> bool {
        self.trees.iter().any(|tree| {
            tree.iter().all(|node| match node {
                Node::Leaf(entries) => entries.iter().any(|entry| entry.0 == target),
                Node::Branch { .. } => true,
            })
        })
    }
}

/// A walk from the root must be a tree: no node twice.
pub(super) fn check_tree(tree: &[Node]) -> Result<(), String> {
    let mut seen = vec![false; tree.len()];
    let mut stack = vec![0];
    while let Some(i) = stack.pop() {
        if std::mem::replace(&mut seen[i], true) {
            return Err(format!("its node number {i} has two parents or lies on a cycle"));
        }
        if let Node::Branch { yes, no, .. } = tree[i] {
            stack.extend([no, yes]);
        }
    }
    Ok(())
}

/// The tree without shared parts: what has several parents is there for each of them. LightGBM's exporter writes a
/// split over categories as a chain of equalities with one true side.
fn unshared(tree: &[Node]) -> Result<Vec<Node>, String> {
    let mut copy: Vec<Node> = vec![];
    // (node, the copy of its parent and the side, how deep): a path longer than the tree has nodes is a cycle.
    let mut todo = vec![(0, None, 0)];
    while let Some((at, parent, depth)) = todo.pop() {
        let here = copy.len();
        if depth >= tree.len() {
            return Err(format!("its node number {at} lies on a cycle"));
        }
        if here >= MAX_NODES {
            return Err(format!("it has more than {MAX_NODES} nodes when its shared parts are written out"));
        }
        if let Some((parent, on_yes)) = parent
            && let Some(Node::Branch { yes, no, .. }) = copy.get_mut::<usize>(parent)
        {
            *(if on_yes { yes } else { no }) = here;
        }
        copy.push(tree[at].clone());
        if let Node::Branch { yes, no, .. } = tree[at] {
            todo.extend([(no, Some((here, false)), depth + 1), (yes, Some((here, true)), depth + 1)]);
        }
    }
    Ok(copy)
}

fn labels(spec: &Spec) -> Result<Labels, String> {
    match (spec.ints("classlabels_int64s"), spec.strings("classlabels_strings").len()) {
        (Some(ints), 0) => Ok(Labels::Ints(ints.to_vec())),
        (None, n) if n > 0 => Ok(Labels::Strings(n)),
        _ => Err("a classifier needs either classlabels_int64s or classlabels_strings".into()),
    }
}

fn mode(name: &str) -> Result<Option<Mode>, String> {
    Ok(Some(match name {
        "BRANCH_LEQ" => Mode::Leq,
        "BRANCH_LT" => Mode::Lt,
        "BRANCH_GTE" => Mode::Gte,
        "BRANCH_GT" => Mode::Gt,
        "BRANCH_EQ" => Mode::Eq,
        "BRANCH_NEQ" => Mode::Neq,
        "LEAF" => return Ok(None),
        other => return Err(format!("node mode `{other}`")),
    }))
}

fn post_transform(name: &str) -> Result<PostTransform, String> {
    Ok(match name {
        "NONE" => PostTransform::None,
        "SOFTMAX" => PostTransform::Softmax,
        "SOFTMAX_ZERO" => PostTransform::SoftmaxZero,
        "LOGISTIC" => PostTransform::Logistic,
        "PROBIT" => PostTransform::Probit,
        other => return Err(format!("post_transform `{other}`")),
    })
}

fn aggregate(name: &str) -> Result<Aggregate, String> {
    Ok(match name {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return Err(format!("aggregate_function `{other}`")),
    })
}
