"""Cases on disk, so that a run need not make them again.

A suite's folder holds `index.json` and for each case a folder with `graph.onnx`, `expected.safetensors` and
`RUN.in.safetensors`: the run `whole`, and where candidates are independent also `reversed`, `first`, `last` and
`middle`, whose outputs must have the bits of the same rows of `whole`.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
from safetensors.numpy import save_file

HERE = Path(__file__).parent


def digest():
    """Of all that decides what a suite holds: this package's sources and the versions of what they call."""
    from importlib.metadata import version

    sources = hashlib.sha256()
    for path in sorted(HERE.rglob("*.py")):
        sources.update(path.relative_to(HERE).as_posix().encode() + path.read_bytes())
    for package in (
        "numpy",
        "onnx",
        "onnxruntime",
        "onnxmltools",
        "skl2onnx",
        "scikit-learn",
        "lightgbm",
        "xgboost-cpu",
        "catboost",
    ):
        sources.update(f"{package} {_version(version, package)}\n".encode())
    return sources.hexdigest()


def _version(version, package):
    try:
        return version(package)
    except ModuleNotFoundError:
        return "missing"


def picks(case):
    """The rows of each run, by its name; None is all rows as they stand."""
    found = {"whole": None}
    if case.rows and case.rows > 1 and not case.listwise:
        n = case.rows
        found["reversed"] = list(range(n))[::-1]
        found["first"] = [0]
        found["last"] = [n - 1]
        found["middle"] = list(range(n // 3, n // 3 + min(5, n - n // 3)))
    return found


def write(folder, cases):
    """Writes a suite; gives its index."""
    shutil.rmtree(folder, ignore_errors=True)
    index, names = [], set()
    for case in cases:
        slug = re.sub(r"[^A-Za-z0-9=.+-]+", "_", case.name).strip("_")
        while slug.lower() in names:
            slug += "_"
        names.add(slug.lower())
        home = folder / slug
        home.mkdir(parents=True)
        onnx.save(case.model, home / "graph.onnx")
        save_file(_plain(case.outputs), home / "expected.safetensors")
        runs = picks(case)
        for run, rows in runs.items():
            inputs = (
                case.inputs
                if rows is None
                else {k: v[rows] if k in case.candidates else v for k, v in case.inputs.items()}
            )
            save_file(_plain(inputs), home / f"{run}.in.safetensors")
        index.append(
            {
                "name": case.name,
                "folder": slug,
                "cells": case.cells,
                "relative": case.bound.relative,
                "scale": case.bound.scale,
                "labels": case.labels,
                "kinds": case.kinds,
                "runs": runs,
            }
        )
    (folder / "index.json").write_text(json.dumps(index, indent=1))
    return index


def load(folder):
    """The index of a suite that was written before."""
    return json.loads((folder / "index.json").read_text())


def suite(folder, cases):
    """The index of a suite, made by `cases()` unless the folder holds the one of these sources."""
    stamp, now = folder / "digest", digest()
    if stamp.is_file() and stamp.read_text() == now:
        return load(folder)
    index = write(folder, cases())
    stamp.write_text(now)
    return index


def _plain(tensors):
    # `ascontiguousarray` makes a scalar a vector.
    return {k: np.ascontiguousarray(v).reshape(np.shape(v)) for k, v in tensors.items()}
