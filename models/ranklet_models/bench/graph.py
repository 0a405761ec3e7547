"""Writes graphs as PyTorch's exporter would: one node after the other, weights as initialisers, `N` for the list."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 17, 8
"""What PyTorch's exporter has written by default for years."""

TYPES = {"f32": TensorProto.FLOAT, "i64": TensorProto.INT64}


class Graph:
    """A graph under construction. Every method adds nodes and gives the name of their value."""

    def __init__(self, name: str, rng: np.random.Generator):
        self.name, self.rng = name, rng
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.weights: list[onnx.TensorProto] = []

    def input(self, name: str, kind: str, dims: list[int | str]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[kind], dims))
        return name

    def output(self, value: str, name: str, dims: list[int | str]) -> None:
        """Names a value as an output of the graph."""
        node = next(node for node in self.nodes if value in node.output)
        node.output[0] = name
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))

    def op(self, kind: str, *inputs: str, **attributes) -> str:
        value = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [value], name=f"/{value}", **attributes))
        return value

    def weight(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def ints(self, *values: int) -> str:
        """A constant [len(values)] i64."""
        return self.weight(f"ints_{len(self.weights)}", np.array(values, np.int64))

    def matrix(self, name: str, inputs: int, outputs: int, gain: float = 2.0) -> str:
        """A normal [inputs, outputs] that keeps the scale of what goes through it (He et al. 2015 at a gain of 2)."""
        return self.weight(name, self.rng.normal(0, (gain / inputs) ** 0.5, (inputs, outputs)).astype(np.float32))

    def bias(self, name: str, width: int) -> str:
        return self.weight(name, self.rng.normal(0, 0.1, width).astype(np.float32))

    def gemm(self, x: str, name: str, inputs: int, outputs: int, gain: float = 2.0) -> str:
        """`nn.Linear` of a matrix."""
        return self.op("Gemm", x, self.matrix(f"{name}.weight", inputs, outputs, gain), self.bias(f"{name}.bias", outputs))

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        """`nn.Linear` of anything of a higher rank."""
        product = self.op("MatMul", x, self.matrix(f"{name}.weight", inputs, outputs))
        return self.op("Add", self.bias(f"{name}.bias", outputs), product)

    def stack(self, x: str, name: str, widths: list[int], last: str = "Relu") -> str:
        """Dense layers with Relu between them and `last` at the end."""
        for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            end = layer == len(widths) - 2
            x = self.op(last if end else "Relu", self.gemm(x, f"{name}.{layer}", inputs, outputs))
        return x

    def rows(self, x: str) -> str:
        """`x.size(0)`, as [1] i64."""
        first = self.op("Gather", self.op("Shape", x), self.weight(f"int_{len(self.weights)}", np.array(0, np.int64)))
        return self.op("Unsqueeze", first, self.ints(0))

    def expand(self, x: str, rows: str, *sizes: int) -> str:
        """`x.expand(rows, *sizes)`."""
        return self.op("Expand", x, self.op("Concat", rows, self.ints(*sizes), axis=0))

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model, full_check=True)
        return model
