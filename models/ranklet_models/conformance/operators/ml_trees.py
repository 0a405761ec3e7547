"""TreeEnsembleRegressor and TreeEnsembleClassifier: every branch mode, post transform, aggregate and base value."""

import itertools

import numpy as np

from ..case import leaves
from ..graph import SPECIAL, Graph

ML = "ai.onnx.ml"
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
COLUMNS = 5


def cases():
    yield from _modes()
    yield from _regressors()
    yield from _classifiers()
    yield from _forms()


class Forest:
    """The attributes of a drawn forest, nodes in the order an exporter visits them.

    With `per_leaf` 0 tree t is of target t % targets, as boosting libraries write it; else each leaf has weights of so
    many targets, all of them as in scikit-learn's forests; fewer leave some rows without a score for some target.
    """

    def __init__(self, g, trees, depth, targets, *, modes=("BRANCH_LEQ",), missing=True, per_leaf=0, positive=False):
        self.g, self.targets, self.modes, self.missing = g, targets, modes, missing
        self.per_leaf, self.positive = per_leaf, positive
        self.nodes, self.weights, self.values = [], [], {}
        for tree in range(trees):
            self._count = 0
            self._grow(tree, depth if isinstance(depth, int) else depth[tree % len(depth)])

    def _grow(self, tree, depth):
        """Adds a node and what is below it; gives its index in the tree."""
        rng, node = self.g.rng, self._count
        self._count += 1
        if depth == 0 or (depth < 3 and node and rng.random() < 0.15):
            self.nodes.append(dict(tree=tree, node=node, feature=0, mode="LEAF", value=0.0, yes=0, no=0, missing=0))
            chosen = rng.permutation(self.targets)[: self.per_leaf] if self.per_leaf else [tree % self.targets]
            for target in sorted(chosen):
                weight = abs(rng.normal()) if self.positive else rng.normal()
                self.weights.append((tree, node, int(target), float(np.float32(weight * 0.3))))
            return node
        mode = self.modes[rng.integers(len(self.modes))]
        feature = int(rng.integers(COLUMNS))
        # Equality splits are on whole numbers, as in a column of codes.
        value = float(rng.integers(-2, 3)) if mode in ("BRANCH_EQ", "BRANCH_NEQ") else float(np.float32(rng.normal()))
        self.values.setdefault(feature, []).append(value)
        entry = dict(tree=tree, node=node, feature=feature, mode=mode, value=value)
        entry["missing"] = int(rng.random() < 0.4) if self.missing else 0
        self.nodes.append(entry)
        entry["yes"] = self._grow(tree, depth - 1)
        entry["no"] = self._grow(tree, depth - 1)
        return node

    def attributes(self, kind):
        """For `kind` "target" (regressor) or "class" (classifier)."""
        column = lambda key: [entry[key] for entry in self.nodes]
        found = dict(
            nodes_treeids=column("tree"),
            nodes_nodeids=column("node"),
            nodes_featureids=column("feature"),
            nodes_modes=column("mode"),
            nodes_values=column("value"),
            nodes_truenodeids=column("yes"),
            nodes_falsenodeids=column("no"),
            nodes_missing_value_tracks_true=column("missing"),
        )
        tree, node, target, weight = map(list, zip(*self.weights))
        found.update(
            {f"{kind}_treeids": tree, f"{kind}_nodeids": node, f"{kind}_ids": target, f"{kind}_weights": weight}
        )
        return found

    def rows(self, special=True):
        """Inputs of which a third lie exactly on a split and some are missing, infinite or denormal."""
        g = self.g
        x = g.floats(g.rows, COLUMNS, scale=1.2)
        for column, values in self.values.items():
            on = g.rng.random(g.rows) < 0.35
            x[:, column] = np.where(on, g.rng.choice(np.array(values, np.float32), g.rows), x[:, column])
        if special:
            x = np.where(g.rng.random(x.shape) < 0.12, g.rng.choice(SPECIAL, x.shape), x)
        return x.astype(np.float32)


def _finish(g, forest, node, labels=None, special=True):
    """Bit-equal is asked of LightGBM's and XGBoost's graphs alone; see `exporters`."""
    g.x(data=forest.rows(special))
    case = g.out(*(node if isinstance(node, list) else [node])).done(labels=labels)
    sums = leaves(case.model)
    transformed = any(a.name == "post_transform" and a.s != b"NONE" for n in case.model.graph.node for a in n.attribute)
    case.bound = case.bound if transformed else sums
    return case


def _regressor(g, forest, **attributes):
    return g(
        "TreeEnsembleRegressor", "X", domain=ML, n_targets=forest.targets, **forest.attributes("target"), **attributes
    )


def _classifier(g, forest, labels, **attributes):
    kind = dict(classlabels_strings=labels) if isinstance(labels[0], str) else dict(classlabels_int64s=labels)
    return g("TreeEnsembleClassifier", "X", outputs=2, domain=ML, **kind, **forest.attributes("class"), **attributes)


def _modes():
    for mode, k in itertools.product(MODES, range(2)):
        g = Graph("TreeEnsembleRegressor", f"mode={mode}", k)
        forest = Forest(g, 3 + k, 3 + k, 1, modes=(mode,))
        yield _finish(g, forest, _regressor(g, forest))
    for k in range(2):
        g = Graph("TreeEnsembleRegressor", "modes mixed", k)
        forest = Forest(g, 4, 4, 1 + k, modes=MODES[:4] if k == 0 else MODES)
        yield _finish(g, forest, _regressor(g, forest))
        g = Graph("TreeEnsembleRegressor", "no missing_value_tracks_true", k)
        forest = Forest(g, 3, 3, 1, missing=False)
        attributes = forest.attributes("target")
        del attributes["nodes_missing_value_tracks_true"]
        yield _finish(g, forest, g("TreeEnsembleRegressor", "X", domain=ML, n_targets=1, **attributes))
    for mode, k in itertools.product(MODES, range(2)):
        g = Graph("TreeEnsembleClassifier", f"mode={mode}", k)
        forest = Forest(g, 4, 3, 3, modes=(mode,))
        _, scores = _classifier(g, forest, [0, 1, 2])
        yield _finish(g, forest, scores)


def _regressors():
    for transform, targets, k in itertools.product(TRANSFORMS, (1, 3), range(2)):
        if transform == "PROBIT" and targets > 1:
            continue  # ONNX Runtime's answer for several targets is undefined where a sum leaves (0, 1)
        g = Graph("TreeEnsembleRegressor", f"post_transform={transform} targets={targets}", k)
        forest = Forest(g, 5, 3 + k, targets, positive=transform == "PROBIT")
        if transform == "PROBIT":
            forest.weights = [(t, n, c, w * 0.05 + 0.01) for t, n, c, w in forest.weights]
        yield _finish(g, forest, _regressor(g, forest, post_transform=transform))
    for aggregate, targets, k in itertools.product(("SUM", "AVERAGE", "MIN", "MAX"), (1, 2), range(2)):
        g = Graph("TreeEnsembleRegressor", f"aggregate_function={aggregate} targets={targets}", k)
        forest = Forest(g, 4 + k, 3, targets, per_leaf=targets)
        yield _finish(g, forest, _regressor(g, forest, aggregate_function=aggregate))
    for (targets, base), k in itertools.product(((1, [0.5]), (3, [0.1, -0.2, 0.3])), range(2)):
        g = Graph("TreeEnsembleRegressor", f"base_values of {len(base)}", k)
        forest = Forest(g, 4, 3, targets, per_leaf=k and targets)
        yield _finish(g, forest, _regressor(g, forest, base_values=base))
    for (value, trees, depth, targets, per_leaf), k in itertools.product(
        (
            ("one tree", 1, 4, 1, 0),
            ("single leaf trees", 3, [0, 2], 1, 0),
            ("deep", 2, 9, 1, 0),
            ("many trees", 60, 4, 1, 0),
            ("every target in each leaf", 4, 3, 4, 4),
            ("some targets in each leaf", 4, 3, 4, 2),
            ("uneven depths", 6, [1, 5, 2], 2, 0),
        ),
        range(2),
    ):
        g = Graph("TreeEnsembleRegressor", value, k)
        forest = Forest(g, trees + k, depth, targets, per_leaf=per_leaf)
        yield _finish(g, forest, _regressor(g, forest))


def _classifiers():
    for transform, k in itertools.product(TRANSFORMS, range(2)):
        if transform != "PROBIT":
            g = Graph("TreeEnsembleClassifier", f"post_transform={transform} 3 classes", k)
            forest = Forest(g, 6, 3, 3, per_leaf=3 * k)
            label, scores = _classifier(g, forest, [0, 1, 2] if k == 0 else [10, -5, 7], post_transform=transform)
            yield _finish(g, forest, [label, scores], labels={"Y0": "Y1"})
        g = Graph("TreeEnsembleClassifier", f"post_transform={transform} binary, two ids", k)
        forest = Forest(g, 5, 3, 2, per_leaf=2, positive=transform == "PROBIT")
        if transform == "PROBIT":
            forest.weights = [(t, n, c, w * 0.05 + 0.02) for t, n, c, w in forest.weights]
        label, scores = _classifier(g, forest, [0, 1] if k == 0 else [3, 9], post_transform=transform)
        yield _finish(g, forest, [label, scores], labels={"Y0": "Y1"})
    for (transform, positive), k in itertools.product(
        itertools.product(("NONE", "LOGISTIC", "SOFTMAX"), (True, False)), range(2)
    ):
        # Exporters of binary models write one class id: weights of one sign mean probabilities, of both margins.
        value = f"post_transform={transform} binary, one id, {'positive' if positive else 'signed'} weights"
        g = Graph("TreeEnsembleClassifier", value, k)
        forest = Forest(g, 4, 3, 1, positive=positive)
        forest.weights = [(t, n, 1 if k == 0 else 0, w) for t, n, _, w in forest.weights]
        label, scores = _classifier(g, forest, [0, 1], post_transform=transform)
        yield _finish(g, forest, [label, scores], labels={"Y0": "Y1"})
    for (count, base), k in itertools.product(((2, [0.2, -0.1]), (3, [0.1, -0.2, 0.3]), (2, [0.15])), range(2)):
        g = Graph("TreeEnsembleClassifier", f"base_values of {len(base)}, {count} classes", k)
        forest = Forest(g, 5, 3, count if len(base) > 1 else 1, per_leaf=count if k and len(base) > 1 else 0)
        if len(base) == 1:
            forest.weights = [(t, n, 1, w) for t, n, _, w in forest.weights]
        label, scores = _classifier(g, forest, list(range(count)), base_values=base)
        yield _finish(g, forest, [label, scores], labels={"Y0": "Y1"})


def _forms():
    for count, k in itertools.product((2, 3, 4), range(2)):
        g = Graph("TreeEnsembleClassifier", f"rows without a score for some of {count} classes", k)
        forest = Forest(g, 3 + k, 3, count, per_leaf=1)
        label, scores = _classifier(g, forest, list(range(count)))
        yield _finish(g, forest, [label, scores], labels={"Y0": "Y1"})
    for k in range(2):
        g = Graph("TreeEnsembleRegressor", "rows without a score for a target that has a base value", k)
        forest = Forest(g, 2 + k, 3, 3, per_leaf=1)
        yield _finish(g, forest, _regressor(g, forest, base_values=[0.1, -0.2, 0.3]))
    for count, k in itertools.product((2, 3), range(2)):
        g = Graph("TreeEnsembleClassifier", f"string labels, {count} classes", k)
        forest = Forest(g, 6, 3, count, per_leaf=count)
        label, scores = _classifier(
            g, forest, ["no", "yes", "perhaps"][:count], post_transform="SOFTMAX" if k else "NONE"
        )
        yield _finish(g, forest, [label, scores])
        g = Graph("ZipMap", f"i64 labels, {count} classes", k)
        forest = Forest(g, 6, 3, count, per_leaf=count)
        label, scores = _classifier(g, forest, list(range(5, 5 + count)), post_transform="SOFTMAX")
        yield _zipped(g, forest, label, scores, classlabels_int64s=list(range(5, 5 + count)))
        g = Graph("ZipMap", f"string labels, {count} classes", k)
        forest = Forest(g, 6, 3, count, per_leaf=count)
        names = ["no", "yes", "perhaps"][:count]
        label, scores = _classifier(g, forest, names, post_transform="LOGISTIC" if k else "NONE")
        yield _zipped(g, forest, None, scores, classlabels_strings=names)
    for k in range(2):
        g = Graph("TreeEnsembleRegressor", "beside a dense layer", k)
        hidden = g("Gemm", "X", g.const(g.floats(COLUMNS, 3, scale=0.4)), g.const(g.floats(3)))
        forest = Forest(g, 4, 3, 1)
        own = g("TreeEnsembleRegressor", "X", domain=ML, n_targets=1, **forest.attributes("target"))
        yield _finish(g, forest, g("Concat", own, g("Tanh", hidden), axis=1), special=False)
        # ONNX Runtime takes integers in classifiers alone.
        g = Graph("TreeEnsembleClassifier", "i64 input", k)
        forest = Forest(g, 4, 3, 3, modes=("BRANCH_LEQ",) if k == 0 else ("BRANCH_EQ",))
        label, scores = _classifier(g, forest, [0, 1, 2])
        g.x(data=g.ints(g.rows, COLUMNS, low=-3, high=4))
        yield g.out(label, scores).done(labels={"Y0": "Y1"})


def _zipped(g, forest, label, scores, **classes):
    zipped = g("ZipMap", scores, domain=ML, **classes)
    g.x(data=forest.rows())
    if label is not None:
        g.out(label)
    return g.mapped(zipped, int if "classlabels_int64s" in classes else str).done(
        labels={"Y0": zipped} if label else None
    )
