"""What the exported models learn from and are asked."""

import zlib

import numpy as np
from onnx import numpy_helper

from ..case import FLOAT, finish
from ..graph import ROWS, SPECIAL

WIDTH = 6
TRAINING = 600


def table(k, *, missing=0.0, width=WIDTH, rows=TRAINING):
    """X, and a signal that a model can learn; column 3 holds few values."""
    rng = np.random.default_rng(100 + k)
    x = rng.normal(size=(rows, width)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3] * 2)
    signal = x[:, 0] - 0.5 * x[:, 1] * x[:, 2] + np.sin(x[:, 3]) + 0.3 * rng.normal(size=rows)
    if missing:
        x[rng.random(x.shape) < missing] = np.nan
    return x, signal.astype(np.float32)


def binary(signal):
    return (signal > 0.3).astype(np.int64)


def classes(signal, labels=(0, 1, 2)):
    return np.asarray(labels)[np.digitize(signal, [-0.6, 0.6])]


def grades(signal):
    """Relevance of 0 to 3, for rankers."""
    return np.digitize(signal, [-0.8, 0.2, 1.0]).astype(np.int64)


def queries(rows, size=20):
    return [size] * (rows // size)


def splits(model):
    """The split values of each column, whatever tree operator holds them."""
    found = {}
    for node in model.graph.node:
        attributes = {a.name: a for a in node.attribute}
        if "nodes_values" in attributes:
            values = attributes["nodes_values"].floats
            leaf = [mode == b"LEAF" for mode in attributes["nodes_modes"].strings]
        elif "nodes_splits" in attributes:
            values = numpy_helper.to_array(attributes["nodes_splits"].t)
            leaf = [False] * len(values)
        else:
            continue
        for column, value, skip in zip(attributes["nodes_featureids"].ints, values, leaf):
            if not skip:
                found.setdefault(column, []).append(value)
    return {column: np.array(sorted(set(values)), np.float32) for column, values in found.items()}


def rows(model, n, rng, *, width=WIDTH, special):
    """Rows to score; with `special` also NaN, infinities and denormals, which trees define."""
    x = rng.normal(scale=1.3, size=(n, width)).astype(np.float32)
    for column, values in splits(model).items():
        if column < width:
            x[:, column] = np.where(rng.random(n) < 0.3, rng.choice(values, n), x[:, column])
    if special:
        x = np.where(rng.random(x.shape) < 0.1, rng.choice(SPECIAL, x.shape), x)
    return x.astype(np.float32)


def exported(library, name, k, model, *, special=False, bound=FLOAT, inputs=None, labels=None, width=WIDTH):
    """The case of an exported graph with one matrix of floats, or of `inputs(rng, n)`."""
    title = f"{library}/{name}/{k}"
    seed = zlib.crc32(title.encode())
    n, rng = ROWS[(seed + 2 * k) % 4], np.random.default_rng(seed)
    port = model.graph.input[0].name
    given = inputs(rng, n) if inputs else {port: rows(model, n, rng, width=width, special=special)}
    model.graph.name = "graph"  # some exporters draw one
    del model.metadata_props[:]
    return finish(title, model, given, dict.fromkeys(given, 0), cells=[(library, name)], bound=bound, labels=labels)
