"""Train the ads-recs ranker and its calibrator, and write what is committed.

    python -m ranklet_models.ads_recs.train

Writes ranker.onnx, calibrator.onnx and golden.safetensors to models/ads-recs. The seeds are fixed and LightGBM runs on
one thread, so a second run gives the same bytes.
"""

import argparse
import hashlib
import sys
import time

import numpy as np
from safetensors.numpy import save_file

from .. import calibrators, trees
from ..simulator.logs import World
from ..spec import columns
from .dataset import HOME, SPEC, Dataset, build

TRAIN = World(seed=11, accounts=2400)
CALIBRATE = World(seed=12, accounts=1600)
SHAPE = trees.Shape()
GOLDEN_ROWS = 128


def fit(data: Dataset, context: bool) -> trees.lightgbm.Booster:
    """One classifier on the shown rows, with or without the columns of the session."""
    x = data.x if context else data.blank
    return trees.train(x[data.shown], data.label[data.shown], SHAPE)


def probability(model: bytes, x: np.ndarray) -> np.ndarray:
    """ONNX Runtime's probability of acceptance of each row."""
    return trees.run_onnx(model, {"X": x})["probabilities"][:, 1]


def golden(model: bytes, x: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs and ONNX Runtime's outputs by tensor name: rows spread over the data, extremes, and nothing at all."""
    rows = x[np.linspace(0, len(x) - 1, GOLDEN_ROWS - 3).astype(int)]
    low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
    inputs = np.ascontiguousarray(np.vstack([rows, low, high, np.full_like(low, np.nan)]), np.float32)
    return {"X": inputs} | trees.run_onnx(model, {"X": inputs})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {text}", file=sys.stderr)

    data = build(TRAIN, "train")
    say(f"{data.request[-1] + 1} requests, {len(data.label)} rows, {data.label[data.shown].mean():.2%} accepted")
    booster = fit(data, context=True)
    say(f"trained {trees.describe(SHAPE)}")
    names = columns(SPEC)
    model = trees.to_onnx(booster, len(names), data.schema).SerializeToString()
    (HOME / "ranker.onnx").write_bytes(model)
    held = build(CALIBRATE, "calibrate")
    score = probability(model, held.x[held.shown])
    curve = calibrators.isotonic_graph(calibrators.fit_isotonic(score, held.label[held.shown]))
    (HOME / "calibrator.onnx").write_bytes(curve.SerializeToString())
    save_file(golden(model, data.x), HOME / "golden.safetensors")
    for name in ("ranker.onnx", "calibrator.onnx", "golden.safetensors"):
        content = (HOME / name).read_bytes()
        print(f"{name:20} {len(content):8,} bytes  sha256 {hashlib.sha256(content).hexdigest()}")
    print("\nShare of gain by column")
    for name, share in trees.importance(booster, names):
        print(f"  {name:32} {share:7.2%}")
    say("done")


if __name__ == "__main__":
    main()
