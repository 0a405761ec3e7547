"""LightGBM, trained reproducibly and written as ONNX."""

import json
from dataclasses import asdict, dataclass

import lightgbm
import numpy as np
import onnx
import onnxruntime
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType


@dataclass(frozen=True)
class Shape:
    """Size and regularisation of a classifier. Every model that is compared with another has the same one."""

    trees: int = 150
    leaves: int = 15
    rate: float = 0.06
    least: int = 60  # rows in a leaf
    l2: float = 10.0
    columns: float = 0.6  # share of columns that a tree may see


def train(x: np.ndarray, y: np.ndarray, shape: Shape = Shape(), seed: int = 1) -> lightgbm.Booster:
    """A binary classifier; the same input gives the same trees on every machine of one architecture."""
    settings = {
        "objective": "binary",
        "num_leaves": shape.leaves,
        "learning_rate": shape.rate,
        "min_data_in_leaf": shape.least,
        "lambda_l2": shape.l2,
        "feature_fraction": shape.columns,
        "max_bin": 127,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(x, y), num_boost_round=shape.trees)


def to_onnx(booster: lightgbm.Booster, columns: int, schema: str | None = None) -> onnx.ModelProto:
    """[N, columns] f32 named X -> label, probabilities [N, 2]. `schema` is the digest of what the columns were made by."""
    model = convert_lightgbm(
        booster,
        name="ranker",
        initial_types=[("X", FloatTensorType([None, columns]))],
        target_opset=15,
        zipmap=False,
    )
    # The exporter collects its operator sets in a Python set, whose order changes from process to process.
    sets = sorted(((o.domain, o.version) for o in model.opset_import))
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in sets)
    if schema is not None:
        onnx.helper.set_model_props(model, {"ranklet.schema": schema})
    return model


def run_onnx(model: bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of ONNX Runtime at one thread, by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # else it warns that LightGBM's label is [N], not the [1] that the exporter declares
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, inputs)))


def importance(booster: lightgbm.Booster, names: list[str]) -> list[tuple[str, float]]:
    """Share of the total gain by column, largest first."""
    gain = booster.feature_importance("gain")
    return sorted(((n, float(g / gain.sum())) for n, g in zip(names, gain)), key=lambda x: -x[1])


def describe(shape: Shape) -> str:
    """The shape as one line of JSON, for a log."""
    return json.dumps(asdict(shape))
