"""LightGBM's forests, learnt from a table of which some values are missing."""

import lightgbm
import numpy as np
import onnx
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from ranklet_models.bench.case import Case, Input
from ranklet_models.trees import to_onnx

TRAINING_ROWS = 20_000
COLUMNS = 40
MISSING = 0.05
TREES, LEAVES = 200, 31


def table(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Feature rows of which MISSING of the values are not there."""
    x = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    x[rng.random(x.shape) < MISSING] = np.nan
    return x


def train(objective: str, rng: np.random.Generator) -> onnx.ModelProto:
    """TREES trees of LEAVES leaves, learnt from a smooth function of a dozen columns and noise."""
    x = table(TRAINING_ROWS, rng)
    known = np.nan_to_num(x)
    y = known[:, :8] @ rng.normal(size=8) + np.sin(2 * known[:, 8]) * known[:, 9] + known[:, 10] * known[:, 11]
    y += rng.normal(size=TRAINING_ROWS)
    settings = {
        "objective": objective,
        "num_leaves": LEAVES,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": 1,
        "verbosity": -1,
    }
    target = y > 0 if objective == "binary" else y
    booster = lightgbm.train(settings, lightgbm.Dataset(x, target), num_boost_round=TREES)
    if objective == "binary":
        return to_onnx(booster, COLUMNS)
    types = [("X", FloatTensorType([None, COLUMNS]))]
    return convert_lightgbm(booster, name="ranker", initial_types=types, target_opset=15)


def forest(kind: str, objective: str, rows: int) -> Case:
    rng = np.random.default_rng(len(kind))
    return Case(
        f"lightgbm-{kind}",
        f"LightGBM {kind} {TREES} x {LEAVES}",
        train(objective, rng),
        [Input("X", "f32", ["N", COLUMNS], table(rows, rng))],
    )
