"""LightGBM and XGBoost through onnxmltools. Sums of trees must be bit-equal to ONNX Runtime's."""

import lightgbm
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from ..case import BITS, FLOAT
from .data import WIDTH, binary, classes, exported, grades, queries, table

KIND = [("X", FloatTensorType([None, WIDTH]))]
OPSET = 15


def cases():
    for k in range(2):
        yield from _lightgbm(k)
        yield from _xgboost(k)


def _lightgbm(k):
    x, signal = table(k, missing=0.1)
    size = dict(
        n_estimators=(12, 30)[k], num_leaves=(7, 15)[k], random_state=0, n_jobs=1, deterministic=True, verbose=-1
    )
    convert = lambda model, **options: convert_lightgbm(model, initial_types=KIND, target_opset=OPSET, **options)
    sums = dict(special=True, bound=BITS)

    model = lightgbm.LGBMRegressor(**size).fit(x, signal)
    yield exported("LightGBM", "regressor", k, convert(model), **sums)
    model = lightgbm.LGBMRegressor(**size, objective=("poisson", "tweedie")[k]).fit(x, abs(signal))
    yield exported("LightGBM", "regressor, log link", k, convert(model), special=True)
    model = lightgbm.LGBMRegressor(**size, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7).fit(x, signal)
    yield exported("LightGBM", "random forest", k, convert(model), special=True)
    model = lightgbm.LGBMRegressor(**{**size, "boosting_type": "dart"}).fit(x, signal)
    yield exported("LightGBM", "dart", k, convert(model), **sums)
    ranker = lightgbm.LGBMRanker(**size).fit(x, grades(signal), group=queries(len(x)))
    yield exported("LightGBM", "ranker", k, convert(ranker), **sums)
    whole = x.copy()
    whole[:, 3] = abs(whole[:, 3])
    codes = lightgbm.LGBMRegressor(**size, min_data_per_group=5, cat_smooth=1).fit(
        whole, signal, categorical_feature=[3]
    )
    yield exported("LightGBM", "regressor, a column of categories", k, convert(codes), special=False, bound=BITS)
    for zipmap in (False, True):
        model = lightgbm.LGBMClassifier(**size).fit(x, binary(signal))
        yield exported(
            "LightGBM",
            f"binary{', ZipMap' if zipmap else ''}",
            k,
            convert(model, zipmap=zipmap),
            special=True,
            labels=LABELS,
        )
        model = lightgbm.LGBMClassifier(**size).fit(x, classes(signal, (10, 20, 30)))
        yield exported(
            "LightGBM",
            f"multi-class{', ZipMap' if zipmap else ''}",
            k,
            convert(model, zipmap=zipmap),
            special=True,
            labels=LABELS,
        )


def _xgboost(k):
    x, signal = table(k, missing=0.1)
    size = dict(n_estimators=(10, 25)[k], max_depth=(3, 5)[k], random_state=0, n_jobs=1)
    convert = lambda model: convert_xgboost(model, initial_types=KIND, target_opset=OPSET)
    sums = dict(special=True, bound=BITS)

    model = xgboost.XGBRegressor(**size).fit(x, signal)
    yield exported("XGBoost", "regressor", k, convert(model), **sums)
    model = xgboost.XGBRegressor(**size, base_score=0.25).fit(x, signal)
    yield exported("XGBoost", "regressor, base_score given", k, convert(model), **sums)
    ranker = xgboost.XGBRanker(**size, objective=("rank:ndcg", "rank:pairwise")[k]).fit(
        x, grades(signal), group=queries(len(x))
    )
    yield exported("XGBoost", "ranker", k, convert(_as_regressor(ranker)), **sums)
    model = xgboost.XGBClassifier(**size).fit(x, binary(signal))
    yield exported("XGBoost", "binary", k, convert(model), special=True, labels=XGB_LABELS)
    model = xgboost.XGBClassifier(**size).fit(x, classes(signal))
    yield exported("XGBoost", "multi-class", k, convert(model), special=True, labels=XGB_LABELS)
    model = xgboost.XGBRFRegressor(**size).fit(x, signal)
    yield exported("XGBoost", "random forest", k, convert(model), special=True, bound=FLOAT)


def _as_regressor(ranker):
    """The same trees under a class that onnxmltools knows: it has no converter for XGBRanker."""
    model = xgboost.XGBRegressor()
    model.load_model(ranker.get_booster().save_raw("json"))
    return model


LABELS = {"label": "probabilities"}
XGB_LABELS = {"label": "probabilities"}
