"""A graph, its inputs, and the answers that decide."""

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime

SPARE_ROWS = 3  # rows of the second run of a graph, which shows what grows with N


@dataclass(frozen=True)
class Bound:
    """How far an answer may lie off: `relative` x max(1, |expected|, `scale`); bit-equal where `relative` is 0."""

    relative: float
    scale: float = 1.0


FLOAT = Bound(1e-5)
BITS = Bound(0.0)


def leaves(model):
    """The bound of tree sums that are not LightGBM's or XGBoost's: 1e-6 of all that a row could add up."""
    total = 1.0
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("target_weights", "class_weights"):
                total += float(np.abs(np.array(attribute.floats, np.float64)).sum())
            elif attribute.name == "leaf_weights":
                total += float(np.abs(onnx.numpy_helper.to_array(attribute.t).astype(np.float64)).sum())
    return Bound(1e-6, total)


@dataclass
class Case:
    """One graph of a suite."""

    name: str
    model: onnx.ModelProto
    inputs: dict
    outputs: dict
    """Answers by name; outputs of strings are left out, a ZipMap'd one is its matrix `[N, classes]`."""
    cells: tuple = ()
    """(operator, attribute value) pairs that the graph covers."""
    bound: Bound = FLOAT
    labels: dict = field(default_factory=dict)
    """Label output -> score output: a label may differ where the two best scores are within the bound."""
    rows: int | None = None
    """N, or None where nothing is per candidate."""
    candidates: dict = field(default_factory=dict)
    """Inputs that hold candidates, and the axis that counts them: 0, or 1 of a list with an axis of its own."""
    kinds: dict = field(default_factory=dict)
    """For each output: `rows` (a row per candidate, on its own), `shared`, or `list` (mixes candidates)."""

    @property
    def listwise(self):
        return "list" in self.kinds.values()


def session(model):
    """ONNX Runtime at one thread, its graph optimisations as they come.

    But not behind quantised weights: it fuses these with the product into arithmetic of 8 bits, whose answers are off in
    the third digit from the graph's own.
    """
    options = onnxruntime.SessionOptions()
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def classes_of(model):
    """For each ZipMap'd value its classes in the order of the graph, which a map does not keep."""
    found = {}
    for node in model.graph.node:
        if node.op_type == "ZipMap":
            attributes = {a.name: a for a in node.attribute}
            texts = (
                [text.decode() for text in attributes["classlabels_strings"].strings]
                if "classlabels_strings" in attributes
                else []
            )
            found[node.output[0]] = texts or list(attributes["classlabels_int64s"].ints)
    return found


def answers(run, inputs, classes):
    """ONNX Runtime's outputs by name, strings left out; `classes` are those of ZipMap'd ones."""
    found = {}
    for port, value in zip(run.get_outputs(), run.run(None, inputs)):
        if isinstance(value, list):
            value = np.array([[row[name] for name in classes[port.name]] for row in value], np.float32)
        if value.dtype.kind not in "OUS":
            found[port.name] = value
    return found


def finish(name, model, inputs, candidates, *, cells=(), bound=FLOAT, labels=None, declare=None):
    """Runs a graph and learns from a second run, on other rows, what each output does with candidates.

    `candidates` gives the axis of candidates by input. With `declare`, the name of that axis, the outputs' shapes are
    written into the graph.
    """
    run, classes = session(model), classes_of(model)
    outputs = answers(run, inputs, classes)
    rows = next((inputs[port].shape[axis] for port, axis in candidates.items()), None)
    kinds, spare = dict.fromkeys(outputs, "shared"), outputs
    if rows is not None:
        picked = np.arange(rows - 1, -1, -1)[:SPARE_ROWS] if rows > SPARE_ROWS else np.arange(rows * 2) % rows
        part = {k: np.take(v, picked, candidates[k]) if k in candidates else v for k, v in inputs.items()}
        spare = answers(run, part, classes)
        apart = set(candidates.values()) == {0}
        kinds = {k: _kind(outputs[k], spare[k], rows, picked) if apart else "list" for k in outputs}
    if declare:
        _declare(model, outputs, spare, rows, declare)
    onnx.checker.check_model(model, full_check=True)
    return Case(name, model, inputs, outputs, tuple(cells), bound, labels or {}, rows, candidates, kinds)


def _kind(whole, part, rows, picked):
    near = dict(rtol=1e-4, atol=1e-4, equal_nan=True)
    if whole.ndim and whole.shape[0] == rows and part.shape == (len(picked), *whole.shape[1:]):
        return "rows" if np.allclose(whole[picked], part, **near) else "list"
    return "shared" if whole.shape == part.shape and np.allclose(whole, part, **near) else "list"


def _declare(model, outputs, spare, rows, symbol):
    for port in model.graph.output:
        if port.type.HasField("sequence_type"):
            continue
        if port.name not in outputs:  # a label
            port.CopyFrom(onnx.helper.make_tensor_value_info(port.name, onnx.TensorProto.STRING, [symbol]))
            continue
        one, two = outputs[port.name], spare[port.name]
        dims = [
            a if a == b else symbol if a == rows else f"{port.name}_{axis}"
            for axis, (a, b) in enumerate(zip(one.shape, two.shape))
        ]
        kind = onnx.helper.np_dtype_to_tensor_dtype(one.dtype)
        port.CopyFrom(onnx.helper.make_tensor_value_info(port.name, kind, dims))
