"""One model of the benchmark with its inputs, and how it lies in the folder."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from ranklet_models.trees import run_onnx

DTYPES = {"f32": np.float32, "i64": np.int64}


@dataclass(frozen=True)
class Input:
    """Values of the longest list; `dims` has `"N"` where that list's length stands. With no `"N"` it is context."""

    name: str
    kind: str
    dims: list[int | str]
    values: np.ndarray
    varies: bool = True
    """Whether one of its elements may change before a call: no mask and no id does."""


@dataclass(frozen=True)
class Count:
    """Multiply-adds: of a candidate as the graph stands; what is left of it when what is shared is done once; that, once."""

    unsplit: int
    candidate: int
    request: int


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    model: onnx.ModelProto
    inputs: list[Input]
    count: Count | None = None
    """None for trees."""
    layers: list[list[int]] = field(default_factory=list)
    """[inputs, outputs] of the dense layers that are set beside a bare loop."""
    prepared: list[str] = field(default_factory=list)
    """The context inputs that change before every call on a prepared list."""

    def write(self, folder: Path) -> dict:
        """NAME.onnx; NAME.INPUT.bin; NAME.OUTPUT.expected, ONNX Runtime's answers. Gives the entry of models.json."""
        data = self.model.SerializeToString()
        (folder / f"{self.name}.onnx").write_bytes(data)
        given = {i.name: np.ascontiguousarray(i.values, DTYPES[i.kind]) for i in self.inputs}
        inputs = []
        for i in self.inputs:
            file = f"{self.name}.{i.name}.bin"
            given[i.name].tofile(folder / file)
            scope = "candidate" if "N" in i.dims else "context"
            inputs.append(
                {"name": i.name, "type": i.kind, "dims": i.dims, "scope": scope, "varies": i.varies, "file": file}
            )
        outputs = []
        for name, values in run_onnx(data, given).items():
            output = {"name": name}
            # A label is checked between engines: it may differ only where two scores are as good as equal.
            if values.dtype == np.float32:
                output["expected"] = f"{self.name}.{name}.expected"
                np.ascontiguousarray(values).tofile(folder / output["expected"])
            outputs.append(output)
        count = self.count and {
            "unsplit": self.count.unsplit,
            "candidate": self.count.candidate,
            "request": self.count.request,
        }
        return {
            "name": self.name,
            "title": self.title,
            "inputs": inputs,
            "outputs": outputs,
            "multiplyAdds": count,
            "layers": self.layers,
            "preparedInputs": self.prepared,
        }
