"""scikit-learn's pipelines, calibrated, voting and stacking models through skl2onnx."""

import numpy as np
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

from .data import binary, classes, exported, table
from .linear import LABELS, convert


def cases():
    for k in range(2):
        yield from _scaled(k)
        yield from _encoded(k)
        yield from _calibrated(k)
        yield from _ensembles(k)


def _scaled(k):
    x, signal = table(k)
    steps = {
        "StandardScaler": StandardScaler(),
        "MinMaxScaler": MinMaxScaler(clip=bool(k)),
        "MaxAbsScaler": MaxAbsScaler(),
        "RobustScaler": RobustScaler(),
        "Normalizer l2": Normalizer(),
        "Normalizer l1": Normalizer("l1"),
        "Binarizer": Binarizer(threshold=0.2),
        "PolynomialFeatures": PolynomialFeatures(2, interaction_only=bool(k)),
        "PCA": PCA(3 + k, random_state=0),
        "SelectKBest": SelectKBest(f_regression, k=3 + k),
        "KBinsDiscretizer": KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
    }
    for name, step in steps.items():
        model = make_pipeline(
            step, Ridge() if k == 0 else MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0)
        )
        # A value exactly on a threshold is compared in f64 by scikit-learn; only the graph's answer counts here.
        yield exported("scikit-learn", f"{name}, then a regressor", k, convert(model.fit(x, signal), x))
    holed, wanted = table(k, missing=0.15)
    for strategy in ("mean", "median", "constant"):
        model = make_pipeline(
            SimpleImputer(strategy=strategy),
            StandardScaler(),
            MLPClassifier(hidden_layer_sizes=(8,), max_iter=20, random_state=0),
        )
        graph = convert(model.fit(holed, binary(wanted)), holed)
        yield exported(
            "scikit-learn",
            f"SimpleImputer {strategy}, StandardScaler, MLPClassifier",
            k,
            graph,
            inputs=_holed,
            labels=LABELS,
        )


def _holed(rng, n):
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    return {"X": x}


def _encoded(k):
    """Columns of their own kind, as pipelines over data frames are exported."""
    rng = np.random.default_rng(k)
    numbers = rng.normal(size=(400, 3)).astype(np.float32)
    codes = rng.integers(0, 4 + k, size=(400, 2)).astype(np.int64)
    both = np.concatenate([numbers, codes], 1).astype(np.float32)
    wanted = (numbers[:, 0] + (codes[:, 0] == 2) - 0.5 * codes[:, 1] > 0).astype(np.int64)

    model = make_pipeline(OneHotEncoder(handle_unknown="ignore", sparse_output=False), LogisticRegression())
    graph = convert(model.fit(codes, wanted), codes)
    given = lambda r, n: {"X": r.integers(-1, 6, size=(n, 2)).astype(np.int64)}
    yield exported("scikit-learn", "OneHotEncoder of i64, LogisticRegression", k, graph, inputs=given, labels=LABELS)

    table_of = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1, 2]),
            ("codes", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [3, 4]),
        ]
    )
    model = make_pipeline(
        table_of, MLPClassifier(hidden_layer_sizes=(8,), max_iter=30, random_state=0) if k else LogisticRegression()
    )
    graph = convert(model.fit(both, wanted), both)

    def mixed(r, n):
        x = np.concatenate([r.normal(size=(n, 3)), r.integers(0, 5, size=(n, 2))], 1).astype(np.float32)
        x[:, 0] = np.where(r.random(n) < 0.2, np.nan, x[:, 0])
        return {"X": x}

    yield exported("scikit-learn", "ColumnTransformer of one matrix", k, graph, inputs=mixed, labels=LABELS)

    two = ColumnTransformer(
        [
            ("numbers", StandardScaler(), [0, 1, 2]),
            ("codes", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [3, 4]),
        ]
    )
    model = make_pipeline(two, LogisticRegression())
    types = [("numbers", FloatTensorType([None, 3])), ("codes", Int64TensorType([None, 2]))]
    graph = convert(model.fit(both, wanted), both, initial_types=types)
    apart = lambda r, n: {
        "numbers": r.normal(size=(n, 3)).astype(np.float32),
        "codes": r.integers(0, 5, size=(n, 2)).astype(np.int64),
    }
    yield exported("scikit-learn", "ColumnTransformer of two inputs", k, graph, inputs=apart, labels=LABELS)

    model = make_pipeline(OrdinalEncoder(), DecisionTreeRegressor(max_depth=4, random_state=0))
    graph = convert(model.fit(codes, numbers[:, 0] + codes[:, 0]), codes)
    known = lambda r, n: {"X": r.integers(0, 4, size=(n, 2)).astype(np.int64)}
    yield exported("scikit-learn", "OrdinalEncoder of i64, DecisionTreeRegressor", k, graph, inputs=known)


def _calibrated(k):
    x, signal = table(k)
    for method in ("sigmoid", "isotonic"):
        inner = (
            LogisticRegression()
            if k == 0
            else RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0, n_jobs=1)
        )
        model = CalibratedClassifierCV(inner, method=method, cv=2, ensemble=bool(k))
        yield exported(
            "scikit-learn",
            f"CalibratedClassifierCV {method}, binary",
            k,
            convert(model.fit(x, binary(signal)), x),
            labels=LABELS,
        )
        model = CalibratedClassifierCV(inner, method=method, cv=2)
        yield exported(
            "scikit-learn",
            f"CalibratedClassifierCV {method}, multi-class",
            k,
            convert(model.fit(x, classes(signal)), x),
            labels=LABELS,
        )


def _ensembles(k):
    x, signal = table(k)
    parts = [
        ("a", LogisticRegression()),
        ("b", RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0, n_jobs=1)),
        ("c", GaussianNB() if k else GradientBoostingClassifier(n_estimators=5, random_state=0)),
    ]
    for voting in ("soft", "hard"):
        model = VotingClassifier(parts, voting=voting, flatten_transform=False).fit(x, classes(signal))
        graph = convert(model, x)
        yield exported(
            "scikit-learn", f"VotingClassifier {voting}", k, graph, labels=LABELS if voting == "soft" else None
        )
    regressors = [("a", LinearRegression()), ("b", DecisionTreeRegressor(max_depth=4, random_state=0))]
    yield exported(
        "scikit-learn",
        "VotingRegressor",
        k,
        convert(VotingRegressor(regressors, weights=np.array([1, 2 + k])).fit(x, signal), x),
    )
    model = StackingRegressor(regressors, final_estimator=Ridge(), cv=2, passthrough=bool(k))
    yield exported("scikit-learn", "StackingRegressor", k, convert(model.fit(x, signal), x))
    model = StackingClassifier(parts[:2], final_estimator=LogisticRegression(), cv=2)
    yield exported("scikit-learn", "StackingClassifier", k, convert(model.fit(x, binary(signal)), x), labels=LABELS)
