"""Writing a graph in a few lines: values are names, data are given where an input is declared."""

import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .case import FLOAT, finish

ROWS = (7, 64, 65, 130, 1)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 1e-45, -1e-40, 0.0, -0.0, 3.0e38], np.float32)
IR_VERSION = 10  # of opset 21 and ml 5; later opsets raise it
IR_OF_OPSET = {22: 10, 23: 11, 24: 12, 25: 13}


class Graph:
    """A graph under construction, seeded by its name: the same name gives the same numbers."""

    def __init__(self, operator, value, k, *, opset=17, ml=3, rows=None):
        self.cells = [(operator, value)]
        self.name = f"{operator}/{value}/{k}" if value else f"{operator}/{k}"
        self.opset, self.ml = opset, ml
        # The name of the axis of candidates is the exporter's choice.
        self.symbol = ("N", "batch_size")[k]
        seed = zlib.crc32(self.name.encode())
        self.rng = np.random.default_rng(seed)
        # The second graph of a cell never has the number of rows of the first.
        self.rows = rows or ROWS[(zlib.crc32(f"{operator}/{value}".encode()) + 2 * k) % len(ROWS)]
        self._nodes, self._inputs, self._constants, self._outputs = [], [], [], []
        self._data, self._candidates, self._maps = {}, {}, {}
        self._uses_ml = self._uses_microsoft = False

    def covers(self, operator, *values):
        """Further cells of the coverage table."""
        self.cells += [(operator, value) for value in values]
        return self

    def floats(self, *shape, scale=1.0, low=None, high=None, special=0.0):
        """Normal, or uniform in [low, high); the share `special` is NaN, infinite, denormal or a signed zero."""
        if low is None:
            drawn = self.rng.normal(scale=scale, size=shape)
        else:
            drawn = self.rng.uniform(low, high, size=shape)
        drawn = np.asarray(drawn, np.float32)
        if special:
            drawn = np.where(self.rng.random(shape) < special, self.rng.choice(SPECIAL, shape), drawn)
        return drawn.astype(np.float32)

    def ints(self, *shape, low=-5, high=6, dtype=np.int64):
        return self.rng.integers(low, high, size=shape).astype(dtype)

    def bools(self, *shape):
        return self.rng.random(shape) < 0.5

    def x(self, *shape, name="X", data=None, **drawn):
        """An input with a row per candidate, `[N, *shape]`; floats unless `data` are given."""
        data = self.floats(self.rows, *shape, **drawn) if data is None else data
        self._candidates[name] = 0
        return self.given(name, data, [self.symbol, *data.shape[1:]])

    def whole(self, *shape, name="X"):
        """The list as one input with an axis of its own, `[1, N, *shape]`, as batch-first modules are exported."""
        self._candidates[name] = 1
        self.symbol = "N"  # by which alone an axis that is not the first is known to count candidates
        return self.given(name, self.floats(1, self.rows, *shape), [1, "N", *shape])

    def shared(self, *shape, name="S", data=None, **drawn):
        """An input that is the same for all candidates, `[1, *shape]`."""
        return self.given(name, self.floats(1, *shape, **drawn) if data is None else data)

    def given(self, name, data, dims=None):
        """An input of any declared shape."""
        data = np.ascontiguousarray(data) if data.ndim else data
        kind = helper.np_dtype_to_tensor_dtype(data.dtype)
        self._inputs.append(helper.make_tensor_value_info(name, kind, data.shape if dims is None else dims))
        self._data[name] = data
        return name

    def const(self, value, dtype=None):
        """An initialiser; Python integers are i64."""
        array = np.asarray(value)
        if dtype is None and array.dtype.kind == "f":
            dtype = np.float32
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array.astype(dtype or array.dtype), name))
        return name

    def __call__(self, op, *inputs, outputs=1, domain="", **attributes):
        """Adds a node; gives the name of its output, or the list of names."""
        self._uses_ml |= domain == "ai.onnx.ml"
        self._uses_microsoft |= domain == "com.microsoft"
        names = [f"v{len(self._nodes)}_{i}" for i in range(outputs)]
        node = helper.make_node(
            op, list(inputs), names, name=f"{op.lower()}_{len(self._nodes)}", domain=domain, **attributes
        )
        self._nodes.append(node)
        return names[0] if outputs == 1 else names

    def node(self, node):
        """Adds a node made elsewhere."""
        self._nodes.append(node)

    def out(self, *names):
        """Graph outputs, given names of their own."""
        for name in names:
            port = f"Y{len(self._outputs)}"
            self._nodes.append(helper.make_node("Identity", [name], [port], name=f"identity_{len(self._nodes)}"))
            self._outputs.append(port)
        return self

    def direct(self, *names):
        """Graph outputs that a node writes, without an Identity between."""
        self._outputs += names
        return self

    def mapped(self, name, keys):
        """An output that is a list of maps from labels to scores."""
        self._outputs.append(name)
        self._maps[name] = keys
        return self

    def done(self, bound=FLOAT, labels=None):
        """The case, with ONNX Runtime's answers."""
        opsets = [helper.make_opsetid("", self.opset)]
        if self._uses_ml:
            opsets.append(helper.make_opsetid("ai.onnx.ml", self.ml))
        if self._uses_microsoft:
            opsets.append(helper.make_opsetid("com.microsoft", 1))
        outputs = [onnx.ValueInfoProto(name=name) for name in self._outputs]  # their types are learnt from the run
        for port in outputs:
            if port.name in self._maps:
                key = TensorProto.INT64 if self._maps[port.name] is int else TensorProto.STRING
                entry = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
                port.type.CopyFrom(helper.make_sequence_type_proto(entry))
        graph = helper.make_graph(self._nodes, "graph", self._inputs, outputs, self._constants)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_OF_OPSET.get(self.opset, IR_VERSION))
        return finish(
            self.name,
            model,
            self._data,
            self._candidates,
            cells=dict.fromkeys(self.cells),
            bound=bound,
            labels=labels,
            declare=self.symbol,
        )
