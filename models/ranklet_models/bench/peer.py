"""ONNX Runtime, native, one thread: times what `cargo xtask bench` asks for, so that it takes turns with the others.

    python -m ranklet_models.bench.peer FOLDER

One JSON object a line: {"model", "rows", "calls"} in, {"ms"} for all the calls out. An element of the input changes
before every call. The first line out is {"version"}.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

STRIDE = 7919
"""A prime: the changed element wanders over rows and columns."""


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # else it warns that LightGBM's label is [N], not the [1] that the exporter declares
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main(folder: Path) -> None:
    columns = {m["name"]: m["columns"] for m in json.loads((folder / "models.json").read_text())}
    sessions: dict[str, onnxruntime.InferenceSession] = {}
    inputs: dict[tuple[str, int], np.ndarray] = {}
    print(json.dumps({"version": onnxruntime.__version__}), flush=True)
    place = 0
    for line in sys.stdin:
        asked = json.loads(line)
        name, rows, calls = asked["model"], asked["rows"], asked["calls"]
        if name not in sessions:
            sessions[name] = session(folder / f"{name}.onnx")
        if (name, rows) not in inputs:
            whole = np.fromfile(folder / f"{name}.f32", np.float32).reshape(-1, columns[name])
            inputs = {(name, rows): whole[:rows].copy()}  # one at a time: the longest takes 5 MB
        run, x = sessions[name].run, inputs[name, rows]
        flat, feeds = x.reshape(-1), {"X": x}
        start = time.perf_counter_ns()
        for _ in range(calls):
            place = (place + STRIDE) % flat.size
            flat[place] = (place & 255) / 128 - 1
            run(None, feeds)
        print(json.dumps({"ms": (time.perf_counter_ns() - start) / 1e6}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
