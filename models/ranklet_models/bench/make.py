"""Writes the benchmark's models into a folder: NAME.onnx; NAME.f32, its rows; NAME.expected.f32, ONNX Runtime's answers.

    python -m ranklet_models.bench.make FOLDER

Seeded: the same package versions give the same files. `models.json` lists them.
"""

import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from ranklet_models.trees import run_onnx, to_onnx

ROWS = 5000
"""The longest list that is measured."""

TRAINING_ROWS = 20_000
COLUMNS = 40
MISSING = 0.05
TREES, LEAVES = 200, 31


def mlp(widths: list[int], rng: np.random.Generator) -> onnx.ModelProto:
    """Dense layers with Relu between them and a Sigmoid at the end, X [N, widths[0]] -> Y [N, widths[-1]]."""
    nodes, weights, last = [], [], "X"
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        end = layer == len(widths) - 2
        w = rng.normal(0, (2 / inputs) ** 0.5, (inputs, outputs)).astype(np.float32)
        b = rng.normal(0, 0.1, outputs).astype(np.float32)
        weights += [numpy_helper.from_array(w, f"W{layer}"), numpy_helper.from_array(b, f"b{layer}")]
        nodes.append(helper.make_node("Gemm", [last, f"W{layer}", f"b{layer}"], [f"z{layer}"]))
        last = "Y" if end else f"a{layer}"
        nodes.append(helper.make_node("Sigmoid" if end else "Relu", [f"z{layer}"], [last]))
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name, width in (("X", widths[0]), ("Y", widths[-1]))
    )
    graph = helper.make_graph(nodes, "mlp", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def table(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Feature rows of which MISSING of the values are not there."""
    x = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    x[rng.random(x.shape) < MISSING] = np.nan
    return x


def forest(objective: str, rng: np.random.Generator) -> onnx.ModelProto:
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


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    listed = []

    def write(name: str, title: str, model: onnx.ModelProto, x: np.ndarray, multiply_adds: int | None) -> None:
        print(f"{name}: {x.shape[1]} columns", flush=True)
        data = model.SerializeToString()
        score = list(run_onnx(data, {"X": x}).values())[-1]
        (folder / f"{name}.onnx").write_bytes(data)
        x.tofile(folder / f"{name}.f32")
        np.ascontiguousarray(score, np.float32).tofile(folder / f"{name}.expected.f32")
        listed.append({"name": name, "title": title, "columns": x.shape[1], "multiplyAdds": multiply_adds})

    for widths in ([64, 128, 64, 1], [256, 512, 256, 128, 1]):
        name = "-".join(map(str, widths))
        rng = np.random.default_rng(widths)
        x = rng.normal(size=(ROWS, widths[0])).astype(np.float32)
        write(f"mlp-{name}", f"MLP {name}", mlp(widths, rng), x, sum(a * b for a, b in zip(widths, widths[1:])))
    for kind, objective in (("regressor", "regression"), ("classifier", "binary")):
        rng = np.random.default_rng(len(kind))
        title = f"LightGBM {kind} {TREES} x {LEAVES}"
        write(f"lightgbm-{kind}", title, forest(objective, rng), table(ROWS, rng), None)
    (folder / "models.json").write_text(json.dumps(listed, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
