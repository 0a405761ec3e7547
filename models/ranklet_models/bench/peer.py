"""ONNX Runtime, native, one thread: times what `cargo xtask bench` asks for, so that it takes turns with the others.

    python -m ranklet_models.bench.peer FOLDER

One JSON object a line: {"model", "rows", "calls", "vary"} in, {"ms"} for all the calls out; with no calls the float outputs,
in the model's order. An element of the inputs named by "vary" changes before every call. The first line out is {"version"}.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

from ranklet_models.bench.case import DTYPES

STRIDE = 7919
"""A prime: the changed element wanders over rows and columns."""


class Model:
    """A session and the inputs of one list at a time: the longest takes 5 MB."""

    def __init__(self, folder: Path, listed: dict):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # else it warns that LightGBM's label is [N], not the [1] that the exporter declares
        path = str(folder / f"{listed['name']}.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.folder, self.inputs = folder, listed["inputs"]
        self.rows, self.feeds, self.place = 0, {}, 0

    def hold(self, rows: int) -> None:
        if rows == self.rows:
            return
        self.rows = rows
        for i in self.inputs:
            dims = [rows if size == "N" else size for size in i["dims"]]
            values = np.fromfile(self.folder / i["file"], DTYPES[i["type"]], int(np.prod(dims)))
            self.feeds[i["name"]] = values.reshape(dims)

    def outputs(self) -> list:
        values = self.session.run(None, self.feeds)
        return [v.reshape(-1).tolist() if v.dtype == np.float32 else None for v in values]

    def ms(self, calls: int, vary: list[str]) -> float:
        run, feeds, place = self.session.run, self.feeds, self.place
        flats = [feeds[name].reshape(-1) for name in vary]
        start = time.perf_counter_ns()
        for call in range(calls):
            flat = flats[call % len(flats)]
            place = (place + STRIDE) % flat.size
            flat[place] = (place & 255) / 128 - 1
            run(None, feeds)
        spent = time.perf_counter_ns() - start
        self.place = place
        return spent / 1e6


def main(folder: Path) -> None:
    listed = {m["name"]: m for m in json.loads((folder / "models.json").read_text())}
    models: dict[str, Model] = {}
    print(json.dumps({"version": onnxruntime.__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked["model"]
        if name not in models:
            models[name] = Model(folder, listed[name])
        model = models[name]
        if asked["calls"] == 0:
            model.rows = 0  # asked for what the files' own values give
            model.hold(asked["rows"])
            answer = {"outputs": model.outputs()}
        else:
            model.hold(asked["rows"])
            answer = {"ms": model.ms(asked["calls"], asked["vary"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
