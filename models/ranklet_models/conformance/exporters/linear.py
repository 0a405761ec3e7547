"""scikit-learn's estimators through skl2onnx, each alone."""

from unittest import mock

import numpy as np
from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common import _container
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ..case import FLOAT, leaves
from .data import binary, classes, exported, table

LABELS = {"label": "probabilities"}
OPSETS = {"": 17, "ai.onnx.ml": 3}


def convert(model, x, zipmap=False, **options):
    """skl2onnx with scores as a matrix, or as maps as it does by itself."""
    plain = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") and not zipmap else None
    with mock.patch.object(_container, "make_node", _with_integers):
        return to_onnx(model, x[:1], target_opset=OPSETS, options=plain, **options)


def _with_integers(*names, **attributes):
    """onnx refuses the lists of bool that skl2onnx writes for gradient boosting on histograms."""
    plain = {
        key: [int(v) if isinstance(v, (bool, np.bool_)) else v for v in value] if isinstance(value, list) else value
        for key, value in attributes.items()
    }
    return helper.make_node(*names, **plain)


def cases():
    for k in range(2):
        x, signal = table(k)
        many = np.stack([signal, signal**2], 1)
        for name, model in _regressors(k):
            graph = convert(model.fit(x, np.abs(signal) if "Poisson" in name else signal), x)
            yield exported("scikit-learn", name, k, graph, bound=_bound(graph))
        for name, model in (
            ("LinearRegression, two targets", LinearRegression()),
            ("RandomForestRegressor, two targets", _forest(k, RandomForestRegressor)),
        ):
            graph = convert(model.fit(x, many), x)
            yield exported("scikit-learn", name, k, graph, bound=_bound(graph))
        for name, model in _classifiers(k):
            graph = convert(model.fit(x, binary(signal)), x)
            yield exported("scikit-learn", f"{name}, binary", k, graph, labels=LABELS)
            graph = convert(model.fit(x, classes(signal)), x)
            yield exported("scikit-learn", f"{name}, multi-class", k, graph, labels=LABELS)
        model = LogisticRegression().fit(x, classes(signal, ("low", "middle", "top")))
        yield exported("scikit-learn", "LogisticRegression, string labels", k, convert(model, x))
        yield exported("scikit-learn", "LogisticRegression, ZipMap", k, convert(model, x, zipmap=True))
        for name, model in (
            ("HistGradientBoostingRegressor", HistGradientBoostingRegressor(max_iter=8 + 8 * k, max_leaf_nodes=9)),
        ):
            holed, wanted = table(k, missing=0.1)
            graph = convert(model.fit(holed, wanted), x)
            yield exported("scikit-learn", f"{name}, missing values", k, graph, special=True, bound=_bound(graph))


def _bound(graph):
    """The sums of trees may stray by what their leaves could add up to, anything else by its size."""
    trees = any(node.op_type.startswith("TreeEnsemble") for node in graph.graph.node)
    return leaves(graph) if trees else FLOAT


def _forest(k, kind):
    return kind(n_estimators=5 + 5 * k, max_depth=4 + k, random_state=0, n_jobs=1)


def _regressors(k):
    return [
        ("LinearRegression", LinearRegression()),
        ("Ridge", Ridge()),
        ("ElasticNet", ElasticNet(alpha=0.05)),
        ("PoissonRegressor", PoissonRegressor()),
        ("DecisionTreeRegressor", DecisionTreeRegressor(max_depth=5, random_state=0)),
        ("RandomForestRegressor", _forest(k, RandomForestRegressor)),
        ("ExtraTreesRegressor", _forest(k, ExtraTreesRegressor)),
        ("GradientBoostingRegressor", GradientBoostingRegressor(n_estimators=12 + 8 * k, random_state=0)),
        (
            "HistGradientBoostingRegressor",
            HistGradientBoostingRegressor(max_iter=10 + 5 * k, max_leaf_nodes=9, random_state=0),
        ),
        (
            "MLPRegressor",
            MLPRegressor(
                hidden_layer_sizes=(12,) if k == 0 else (16, 8),
                activation=("relu", "tanh")[k],
                max_iter=30,
                random_state=0,
            ),
        ),
    ]


def _classifiers(k):
    return [
        ("LogisticRegression", LogisticRegression()),
        ("SGDClassifier", SGDClassifier(loss="log_loss", random_state=0)),
        ("DecisionTreeClassifier", DecisionTreeClassifier(max_depth=4, random_state=0)),
        ("RandomForestClassifier", _forest(k, RandomForestClassifier)),
        ("GradientBoostingClassifier", GradientBoostingClassifier(n_estimators=6 + 6 * k, random_state=0)),
        (
            "HistGradientBoostingClassifier",
            HistGradientBoostingClassifier(max_iter=6 + 4 * k, max_leaf_nodes=9, random_state=0),
        ),
        (
            "MLPClassifier",
            MLPClassifier(
                hidden_layer_sizes=(12,) if k == 0 else (16, 8),
                activation=("relu", "logistic")[k],
                max_iter=30,
                random_state=0,
            ),
        ),
    ]
