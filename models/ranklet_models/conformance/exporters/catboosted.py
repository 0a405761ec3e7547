"""CatBoost through its own exporter."""

import tempfile
from pathlib import Path

import catboost
import onnx

from ..case import FLOAT, leaves
from .data import binary, classes, exported, grades, table


def cases():
    for k in range(2):
        x, signal = table(k, missing=0.1)
        size = dict(
            iterations=(10, 25)[k],
            depth=(3, 5)[k],
            random_seed=0,
            thread_count=1,
            verbose=False,
            allow_writing_files=False,
        )
        model = catboost.CatBoostRegressor(**size).fit(x, signal)
        yield _exported("regressor", k, model)
        model = catboost.CatBoostRegressor(**size, loss_function=("Poisson", "Quantile")[k]).fit(x, abs(signal))
        yield _exported("regressor, another loss", k, model)
        model = catboost.CatBoostClassifier(**size).fit(x, binary(signal))
        yield _exported("binary", k, model, labels={"label": "probabilities"})
        model = catboost.CatBoostClassifier(**size).fit(x, classes(signal))
        yield _exported("multi-class", k, model, labels={"label": "probabilities"})
        group = [row // 20 for row in range(len(x))]
        model = catboost.CatBoostRanker(**size, loss_function="YetiRank").fit(x, grades(signal), group_id=group)
        yield _exported("ranker", k, model)


def _exported(name, k, model, labels=None):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(
            str(path), format="onnx", export_parameters={"onnx_domain": "ranklet", "onnx_model_version": 1}
        )
        graph = onnx.load(path)
    return exported("CatBoost", name, k, graph, special=True, bound=FLOAT if labels else leaves(graph), labels=labels)
