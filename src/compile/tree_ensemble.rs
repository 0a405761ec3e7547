//! TreeEnsemble of ai.onnx.ml 5: nodes and leaves in lists of their own, branches that test membership.

use super::constant::{Constant, Elem};
use super::forest::{Forest, Mode, Node, check_tree};
use super::node::Spec;
use crate::engine::plan::{Aggregate, PostTransform};

/// Nodes of one tree, so that a chain of memberships cannot grow without bound.
const MAX_NODES: usize = 1 << 20;

/// The lists of a TreeEnsemble.
struct Lists<'a> {
    splits: Vec<f32>,
    features: &'a [i64],
    modes: Vec<i64>,
    yes: (&'a [i64], &'a [i64]),
    no: (&'a [i64], &'a [i64]),
    missing: &'a [i64],
    /// The values of each membership test, by node.
    members: Vec<Vec<f32>>,
    targets: &'a [i64],
    weights: Vec<f32>,
    n_targets: usize,
}

/// A place in the lists: a node or a leaf.
#[derive(Clone, Copy)]
enum Place {
    Node(usize),
    Leaf(usize),
}

/// Reads the node. The message says what is wrong.
pub(super) fn parse(spec: &Spec) -> Result<Forest, String> {
    let lists = Lists::read(spec)?;
    let roots = spec.ints("tree_roots").ok_or("`tree_roots` is missing")?;
    let mut trees = vec![];
    for (t, &root) in roots.iter().enumerate() {
        let tree = lists.tree(root).map_err(|problem| format!("tree {t}: {problem}"))?;
        check_tree(&tree).map_err(|problem| format!("tree {t}: {problem}"))?;
        trees.push(tree);
    }
    if trees.is_empty() {
        return Err("no trees".into());
    }
    Ok(Forest {
        trees,
        targets: lists.n_targets,
        base: vec![],
        post: match spec.int("post_transform", 0) {
            0 => PostTransform::None,
            // ONNX has SOFTMAX as 1 and LOGISTIC as 2; ONNX Runtime (1.32) reads them the other way round, and its
            // scores are those that the model's author saw.
            1 => PostTransform::Logistic,
            2 => PostTransform::Softmax,
            3 => PostTransform::SoftmaxZero,
            4 => PostTransform::Probit,
            other => return Err(format!("post_transform {other}")),
        },
        aggregate: match spec.int("aggregate_function", 1) {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            other => return Err(format!("aggregate_function {other}")),
        },
        labels: None,
    })
}

fn floats(spec: &Spec, name: &str) -> Result<Vec<f32>, String> {
    let tensor: Option<Constant> = spec.tensor(name);
    match tensor {
        Some(tensor) if tensor.elem == Elem::F64 => {
            Err(format!("`{name}` is float64: export with float32 thresholds and weights"))
        }
        Some(tensor) => Ok(tensor.floats()?.to_vec()),
        None => Err(format!("`{name}` is missing")),
    }
}

impl<'a> Lists<'a> {
    fn read(spec: &'a Spec) -> Result<Self, String> {
        let list = |name: &str| spec.ints(name).ok_or_else(|| format!("`{name}` is missing"));
        let modes = spec.tensor("nodes_modes").ok_or("`nodes_modes` is missing")?.ints()?.to_vec();
        let n_targets = usize::try_from(spec.int("n_targets", 1)).ok().filter(|n| (1..=4096).contains(n));
        let mut lists = Lists {
            splits: floats(spec, "nodes_splits")?,
            features: list("nodes_featureids")?,
            yes: (list("nodes_truenodeids")?, list("nodes_trueleafs")?),
            no: (list("nodes_falsenodeids")?, list("nodes_falseleafs")?),
            missing: spec.ints("nodes_missing_value_tracks_true").unwrap_or(&[]),
            members: vec![],
            targets: list("leaf_targetids")?,
            weights: floats(spec, "leaf_weights")?,
            n_targets: n_targets.ok_or("n_targets lies outside 1 to 4096")?,
            modes,
        };
        let n = lists.modes.len();
        let whole =
            [lists.features, lists.yes.0, lists.yes.1, lists.no.0, lists.no.1].iter().all(|list| list.len() == n);
        if !whole || lists.splits.len() != n || !(lists.missing.is_empty() || lists.missing.len() == n) {
            return Err(format!("its lists of nodes differ in length from the {n} modes"));
        }
        if lists.targets.len() != lists.weights.len() {
            return Err("`leaf_targetids` and `leaf_weights` differ in length".into());
        }
        lists.read_members(spec)?;
        Ok(lists)
    }

    /// One list after the other, each ended by NaN, for the nodes with membership tests in order.
    fn read_members(&mut self, spec: &Spec) -> Result<(), String> {
        let testing = self.modes.iter().filter(|&&mode| mode == 6).count();
        let all = if testing == 0 { vec![] } else { floats(spec, "membership_values")? };
        let mut sets = all.split(|v| v.is_nan());
        for &mode in &self.modes {
            let set = if mode == 6 { sets.next().ok_or("`membership_values` is too short")? } else { &[] };
            self.members.push(set.to_vec());
        }
        Ok(())
    }

    fn place(&self, (ids, leaves): (&[i64], &[i64]), i: usize) -> Result<Place, String> {
        let bound = if leaves[i] == 0 { self.modes.len() } else { self.weights.len() };
        let id = usize::try_from(ids[i]).ok().filter(|&id| id < bound);
        let id = id.ok_or_else(|| format!("node {i} has no child {}", ids[i]))?;
        Ok(if leaves[i] == 0 { Place::Node(id) } else { Place::Leaf(id) })
    }

    /// The nodes below a root, the root first. A leaf that two branches name is there twice.
    fn tree(&self, root: i64) -> Result<Vec<Node>, String> {
        let root = usize::try_from(root).ok().filter(|&root| root < self.modes.len());
        let mut tree = vec![];
        let mut todo = vec![(Place::Node(root.ok_or("its root is out of range")?), None)];
        while let Some((place, parent)) = todo.pop() {
            if tree.len() >= MAX_NODES {
                return Err(format!("it has more than {MAX_NODES} nodes, or a cycle"));
            }
            let here = tree.len();
            if let Some((parent, on_yes)) = parent
                && let Some(Node::Branch { yes, no, .. }) = tree.get_mut::<usize>(parent)
            {
                *(if on_yes { yes } else { no }) = here;
            }
            match place {
                Place::Leaf(leaf) => tree.push(self.leaf(leaf)?),
                Place::Node(i) => self.branch(i, &mut tree, &mut todo)?,
            }
        }
        Ok(tree)
    }

    fn leaf(&self, leaf: usize) -> Result<Node, String> {
        let target = usize::try_from(self.targets[leaf]).ok().filter(|&target| target < self.n_targets);
        let target =
            target.ok_or_else(|| format!("a leaf names target {} of {}", self.targets[leaf], self.n_targets))?;
        let weight = self.weights[leaf];
        if weight.is_finite() {
            Ok(Node::Leaf(vec![(target, weight)]))
        } else {
            Err(format!("a leaf has the weight {weight}"))
        }
    }

    /// Pushes a branch; a membership is a chain of equalities, each with a true side of its own.
    fn branch(
        &self,
        i: usize,
        tree: &mut Vec<Node>,
        todo: &mut Vec<(Place, Option<(usize, bool)>)>,
    ) -> Result<(), String> {
        let feature = usize::try_from(self.features[i]).ok().filter(|&f| f < 1 << 24);
        let feature = feature.ok_or_else(|| format!("feature {} is out of range", self.features[i]))?;
        let (yes, no) = (self.place(self.yes, i)?, self.place(self.no, i)?);
        let mode = match self.modes[i] {
            0 => Mode::Leq,
            1 => Mode::Lt,
            2 => Mode::Gte,
            3 => Mode::Gt,
            4 | 6 => Mode::Eq,
            5 => Mode::Neq,
            other => return Err(format!("node {i} has the mode {other}")),
        };
        let values = if self.modes[i] == 6 { &self.members[i][..] } else { &self.splits[i..=i] };
        if values.is_empty() || values.iter().any(|v| v.is_nan()) {
            return Err(format!("node {i} splits on NaN or on nothing"));
        }
        let missing_yes = self.missing.get(i) == Some(&1);
        for (k, &value) in values.iter().enumerate() {
            let here = tree.len();
            let last = k + 1 == values.len();
            tree.push(Node::Branch { feature, mode, value, missing_yes, yes: 0, no: if last { 0 } else { here + 1 } });
            todo.push((yes, Some((here, true))));
            if last {
                todo.push((no, Some((here, false))));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::{NodeBuilder, f32s, node};
    use tract_onnx::pb::tensor_proto::DataType;

    /// Root: column 0 in {1, 3}? then leaf 0, else node 1: column 1 > 2 ? leaf 1 : leaf 0.
    fn membership() -> NodeBuilder {
        let list = |data_type: DataType, dims: i64| tract_onnx::pb::TensorProto {
            data_type: data_type as i32,
            dims: vec![dims],
            ..Default::default()
        };
        let floats =
            |v: &[f32]| tract_onnx::pb::TensorProto { float_data: v.to_vec(), ..list(DataType::Float, v.len() as i64) };
        let modes = tract_onnx::pb::TensorProto { int32_data: vec![6, 3], ..list(DataType::Uint8, 2) };
        node("TreeEnsemble")
            .domain("ai.onnx.ml")
            .opset(5)
            .ints("tree_roots", &[0])
            .ints("nodes_featureids", &[0, 1])
            .tensor("nodes_splits", floats(&[0.0, 2.0]))
            .tensor("nodes_modes", modes)
            .tensor("membership_values", floats(&[1.0, 3.0, f32::NAN]))
            .ints("nodes_truenodeids", &[0, 1])
            .ints("nodes_trueleafs", &[1, 1])
            .ints("nodes_falsenodeids", &[1, 0])
            .ints("nodes_falseleafs", &[0, 1])
            .ints("leaf_targetids", &[0, 1])
            .tensor("leaf_weights", floats(&[10.0, 20.0]))
            .int("n_targets", 2)
    }

    #[test]
    fn memberships_become_equalities() {
        let x = f32s(&[4, 2], &[1.0, 9.0, 3.0, 9.0, 2.0, 9.0, f32::NAN, 0.0]);
        let y = membership().run1(&[&x]);
        assert_eq!(y, f32s(&[4, 2], &[10.0, 0.0, 10.0, 0.0, 0.0, 20.0, 10.0, 0.0]));
    }

    #[test]
    fn what_points_nowhere_is_refused() {
        let x = f32s(&[1, 2], &[0.0; 2]);
        let cyclic = || {
            let mut node = membership();
            for attribute in &mut node.proto.attribute {
                match attribute.name.as_str() {
                    "nodes_falsenodeids" => attribute.ints = vec![1, 1],
                    "nodes_falseleafs" => attribute.ints = vec![0, 0],
                    _ => {}
                }
            }
            node
        };
        assert!(cyclic().run(&[Some(&x)]).unwrap_err().contains("cycle"));
        let mut far = membership();
        far.proto.attribute.iter_mut().filter(|a| a.name == "tree_roots").for_each(|a| a.ints = vec![7]);
        assert!(far.run(&[Some(&x)]).unwrap_err().contains("root"));
    }
}
