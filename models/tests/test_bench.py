"""The benchmark's models: their stated work is the graph's own, and every input matters."""

import numpy as np
import onnx
import pytest

from ranklet_models.bench.case import DTYPES, Case
from ranklet_models.bench.dense import mlp, two_towers
from ranklet_models.bench.multi_task import HISTORY, REAL, multi_task
from ranklet_models.trees import run_onnx

ROWS = 6


def feeds(case: Case, rows: int) -> dict[str, np.ndarray]:
    return {
        i.name: np.ascontiguousarray(i.values[:rows] if "N" in i.dims else i.values, DTYPES[i.kind]) for i in case.inputs
    }


def multiply_adds(case: Case, rows: int) -> int:
    """Counted from the sizes that ONNX Runtime sees: matrix products, and products of values that are not constant."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    known = {output.name for output in model.graph.output}
    for node in model.graph.node:
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name not in known)
    given = feeds(case, rows)
    values = run_onnx(model.SerializeToString(), given)
    values |= given | {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        if node.op_type in ("Gemm", "MatMul"):
            total += values[node.output[0]].size * values[node.input[0]].shape[-1]
        elif node.op_type == "Mul":
            total += values[node.output[0]].size
    return total


@pytest.mark.parametrize("case", [mlp([8, 16, 1], ROWS), two_towers(ROWS), multi_task(ROWS)], ids=lambda case: case.name)
def test_the_stated_work_of_a_candidate_is_the_graphs(case):
    assert multiply_adds(case, 4) - multiply_adds(case, 3) == case.count.unsplit


def test_the_split_leaves_what_was_promised():
    count = multi_task(1).count
    assert 295_000 < count.unsplit < 305_000
    assert 110_000 < count.candidate < 120_000


@pytest.mark.parametrize("case", [two_towers(ROWS), multi_task(ROWS)], ids=lambda case: case.name)
def test_every_input_changes_every_output(case):
    data, given = case.model.SerializeToString(), feeds(case, ROWS)
    before = run_onnx(data, given)
    for i in case.inputs:
        changed = given | {i.name: 1 - given[i.name] if i.name == "mask" else given[i.name][..., ::-1].copy()}
        after = run_onnx(data, changed)
        assert all((after[name] != values).any() for name, values in before.items()), i.name


def test_what_is_masked_is_not_seen():
    case = multi_task(ROWS)
    data, given = case.model.SerializeToString(), feeds(case, ROWS)
    before = run_onnx(data, given)
    given["history"][:, REAL:HISTORY] += 1
    for name, values in run_onnx(data, given).items():
        np.testing.assert_array_equal(values, before[name])
