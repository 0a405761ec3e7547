"""TreeEnsemble of ml opset 5."""

import itertools

import numpy as np
from onnx import numpy_helper

from ..case import leaves
from ..graph import SPECIAL, Graph

MODES = {"LEQ": 0, "LT": 1, "GTE": 2, "GT": 3, "EQ": 4, "NEQ": 5}
AGGREGATES = {"AVERAGE": 0, "SUM": 1, "MIN": 2, "MAX": 3}
TRANSFORMS = {"NONE": 0, "SOFTMAX": 1, "LOGISTIC": 2, "SOFTMAX_ZERO": 3}
COLUMNS = 5


def cases():
    for mode, k in itertools.product(MODES, range(2)):
        yield _case(f"mode={mode}", k, modes=[MODES[mode]])
    for (name, code), targets, k in itertools.product(AGGREGATES.items(), (1, 2), range(2)):
        yield _case(f"aggregate_function={name} targets={targets}", k, targets=targets, aggregate_function=code)
    for (name, code), targets, k in itertools.product(TRANSFORMS.items(), (1, 3), range(2)):
        yield _case(f"post_transform={name} targets={targets}", k, targets=targets, post_transform=code)
    for k in range(2):
        yield _case("set membership", k, modes=[6])
        yield _case("modes mixed", k, modes=list(range(6)))
        yield _case("no missing_value_tracks_true", k, missing=False)
        yield _case("trees of one leaf", k, depth=0)
        yield _case("deep", k, depth=8, trees=2)


class _Trees:
    """Nodes and leaves apart; a child's index counts in the one or in the other."""

    def __init__(self, g, trees, depth, targets, modes):
        self.g, self.targets, self.modes = g, targets, modes
        self.roots, self.feature, self.value, self.mode, self.missing = [], [], [], [], []
        self.yes, self.no, self.yes_leaf, self.no_leaf = [], [], [], []
        self.leaf_target, self.leaf_weight, self.members = [], [], []
        for _ in range(trees):
            # A tree is at least one node: that of a single leaf has it on both sides.
            self.roots.append(len(self.feature))
            self._node(max(depth, 1), single=depth == 0)

    def _node(self, depth, single=False):
        rng, index = self.g.rng, len(self.feature)
        mode = int(rng.choice(self.modes))
        self.feature.append(int(rng.integers(COLUMNS)))
        self.mode.append(mode)
        if mode == 6:
            self.value.append(np.nan)
            self.members += [*sorted(rng.choice(np.arange(-3, 4), 3, replace=False).tolist()), np.nan]
        else:
            self.value.append(float(rng.integers(-2, 3)) if mode in (4, 5) else float(np.float32(rng.normal())))
        self.missing.append(int(rng.random() < 0.4))
        for array in (self.yes, self.no, self.yes_leaf, self.no_leaf):
            array.append(0)
        self.yes_leaf[index], self.yes[index] = self._child(depth - 1)
        if single:
            self.no_leaf[index], self.no[index] = self.yes_leaf[index], self.yes[index]
        else:
            self.no_leaf[index], self.no[index] = self._child(depth - 1)
        return index

    def _child(self, depth):
        if depth == 0:
            self.leaf_target.append(int(self.g.rng.integers(self.targets)))
            self.leaf_weight.append(float(np.float32(self.g.rng.normal() * 0.3)))
            return 1, len(self.leaf_weight) - 1
        return 0, self._node(depth)


def _case(value, k, *, trees=4, depth=3, targets=1, modes=(0,), missing=True, **attributes):
    g = Graph("TreeEnsemble", value, k, ml=5, opset=18)
    forest = _Trees(g, trees + k, depth, targets, list(modes))
    tensor = lambda values, dtype: numpy_helper.from_array(np.array(values, dtype))
    extra = {"nodes_missing_value_tracks_true": forest.missing} if missing else {}
    if forest.members:
        extra["membership_values"] = tensor(forest.members, np.float32)
    y = g(
        "TreeEnsemble",
        "X",
        domain="ai.onnx.ml",
        n_targets=targets,
        tree_roots=forest.roots,
        nodes_featureids=forest.feature,
        nodes_splits=tensor(forest.value, np.float32),
        nodes_modes=tensor(forest.mode, np.uint8),
        nodes_truenodeids=forest.yes,
        nodes_falsenodeids=forest.no,
        nodes_trueleafs=forest.yes_leaf,
        nodes_falseleafs=forest.no_leaf,
        leaf_targetids=forest.leaf_target,
        leaf_weights=tensor(forest.leaf_weight, np.float32),
        **extra,
        **attributes,
    )
    whole = 6 in modes or 4 in modes
    x = g.ints(g.rows, COLUMNS, low=-3, high=4).astype(np.float32) if whole else g.floats(g.rows, COLUMNS)
    on = g.rng.random(x.shape) < 0.25
    splits = np.array([v for v in forest.value if v == v] or [0.0], np.float32)
    x = np.where(on, g.rng.choice(splits, x.shape), x)
    x = np.where(g.rng.random(x.shape) < 0.12, g.rng.choice(SPECIAL, x.shape), x)
    g.x(data=x.astype(np.float32))
    case = g.out(y).done()
    if not attributes.get("post_transform"):
        case.bound = leaves(case.model)
    return case
