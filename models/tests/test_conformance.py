"""The conformance suites: what they hold, and that nothing wrong passes them."""

import json
import os
import stat
import sys
from collections import Counter

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="its ONNX Runtime lacks operators of the suites")

from ranklet_models.conformance import backend, families, native, operators, run, store, table, wasm  # noqa: E402
from ranklet_models.conformance.compare import difference, label_difference  # noqa: E402
from ranklet_models.conformance.graph import Graph  # noqa: E402


@pytest.fixture(scope="module")
def generated():
    return [*operators.cases(), *families.cases()]


@pytest.fixture(scope="module")
def node_tests():
    return list(backend.cases())


def test_every_cell_has_two_graphs_of_different_lengths(generated):
    graphs, lengths = Counter(), {}
    for case in generated:
        for cell in case.cells:
            graphs[cell] += 1
            lengths.setdefault(cell, set()).add(case.rows)
    assert len(generated) >= 1000
    assert [cell for cell, count in graphs.items() if count < 2] == []
    assert {rows for found in lengths.values() for rows in found} >= {1, 7, 64, 65, 130}
    named = [case.name for case in generated]
    assert len(set(named)) == len(named)


def test_every_operator_of_the_issue_is_generated(generated):
    found = {node.op_type for case in generated for node in case.model.graph.node}
    assert sorted(backend.LISTED - found) == []


def test_a_graph_mixes_candidates_only_where_its_name_says_so(generated):
    operator_graphs = [case for case in generated if case.cells[0][0] != "model" and case.rows > 1]
    assert [case.name for case in operator_graphs if case.listwise != ("list-wise" in case.name)] == []
    listwise = {cell[1] for case in generated if case.listwise for cell in case.cells if cell[0] == "model"}
    assert {"PRM", "SetRank"} <= listwise and not {"DIN", "MMoE", "SASRec"} & listwise


def test_the_same_name_gives_the_same_graph():
    def made():
        g = Graph("MatMul", "a name", 0)
        return g.out(g("MatMul", g.x(4), g.const(g.floats(4, 3)))).done()

    one, two = made(), made()
    assert one.model.SerializeToString() == two.model.SerializeToString()
    assert all((one.inputs[name] == two.inputs[name]).all() for name in one.inputs)


def test_node_tests_are_bound_and_within_types_and_ranks(node_tests):
    assert len(node_tests) > 500
    for case in node_tests:
        for port in [*case.model.graph.input, *case.model.graph.output]:
            assert port.type.tensor_type.elem_type in backend.ELEMENTS
            assert len(port.type.tensor_type.shape.dim) <= backend.MAX_RANK
        single = len(case.model.graph.node) == 1
        if single:
            node, inputs = case.model.graph.node[0], {port.name for port in case.model.graph.input}
            deciding = backend.DECIDING.get(node.op_type, [])
            assert not [i for i in deciding if i < len(node.input) and node.input[i] in inputs], case.name
    operators_seen = {operator for case in node_tests for operator, _ in case.cells}
    assert {"Gather", "Gemm", "ReduceSum", "LSTM", "Where"} <= operators_seen and "Conv" not in operators_seen


def test_difference_sees_what_is_wrong_and_nothing_else():
    y = np.array([1.0, np.nan, np.inf, 200.0], np.float32)
    assert difference(y, y.copy(), 1e-5) is None
    assert difference(y, y * np.float32(1 + 5e-6), 1e-5) is None
    for place, value in enumerate([1.001, 0.0, -np.inf, 200.1]):
        off = y.copy()
        off[place] = value
        assert f"first [{place}]" in difference(y, off, 1e-5)
    assert "shape" in difference(y, y[None], 1e-5)
    assert "float64" in difference(y, y.astype(np.float64), 1e-5)
    assert "bool" in difference(np.array([True]), np.array([1.0], np.float32), 1e-5)
    assert difference(np.array([True]), np.array([1], np.uint8), 1e-5) is None
    assert difference(np.array([3]), np.array([4]), 1e-5) is not None


def test_bit_equality_is_stricter_than_any_bound():
    y = np.array([1.0, 0.0, np.nan], np.float32)
    quiet = np.array([0x3F800000, 0, 0xFFC00001], np.uint32).view(np.float32)
    assert difference(y, quiet, 0.0) is None
    assert (
        difference(y, np.array([np.nextafter(np.float32(1), np.float32(2)), 0.0, np.nan], np.float32), 0.0) is not None
    )
    assert difference(y, np.array([1.0, -0.0, np.nan], np.float32), 0.0) is not None


def test_a_label_may_differ_at_a_tie_alone():
    scores = np.array([[0.5, 0.5], [0.2, 0.8]], np.float32)
    expected = np.array([0, 1])
    assert label_difference(expected, np.array([1, 1]), scores, 1e-5) is None
    assert label_difference(expected, np.array([0, 0]), scores, 1e-5) is not None


# A command line in place of ranklet: it "compiles" by copying and scores with ONNX Runtime, with one fault of choice.
FAKE = """#!{python}
import os, shutil, sys
import numpy as np
from safetensors.numpy import load_file, save_file
fault = os.environ.get("FAULT", "")
if sys.argv[1] == "compile":
    if fault == "refuses":
        sys.exit("error: 1 node cannot be lowered")
    if fault == "crashes":
        os.abort()
    shutil.copy(sys.argv[2], sys.argv[4])
    sys.exit(0)
from ranklet_models.conformance.case import session
import onnx
run = session(onnx.load(sys.argv[2]))
inputs = load_file(sys.argv[4])
outputs = dict(zip([port.name for port in run.get_outputs()], run.run(None, inputs)))
for name, value in outputs.items():
    if fault == "answers otherwise":
        value[-1] += 0.01
    if fault == "depends on N":
        value += np.float32(1e-6) * len(value)
    if fault == "shape":
        outputs[name] = value[None]
save_file(outputs, sys.argv[6])
"""


@pytest.mark.parametrize(
    ("fault", "status", "why"),
    [
        ("", "passed", ""),
        ("refuses", "refused", "cannot be lowered"),
        ("crashes", "wrong", "compile ended with"),
        ("answers otherwise", "wrong", "values are off"),
        ("depends on N", "wrong", "other bits than in `whole`"),
        ("shape", "wrong", "has shape"),
    ],
)
def test_every_fault_is_found(tmp_path, monkeypatch, fault, status, why):
    binary = tmp_path / "fake"
    binary.write_text(FAKE.format(python=sys.executable))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FAULT", fault)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    g = Graph("Abs", "", 0, rows=7)
    case = g.out(g("Abs", g.x(4))).done()
    (entry,) = store.write(tmp_path / "suite", [case])
    assert set(entry["runs"]) == {"whole", "reversed", "first", "last", "middle"}
    entry = json.loads(json.dumps(entry))
    found = native.judge(binary, tmp_path / "suite" / entry["folder"], entry)
    assert found[0] == status and why in found[1]


def test_what_passed_may_only_rise(tmp_path):
    index = [{"name": name, "cells": [("Add", "f32")]} for name in ("a", "b", "c")]
    found = {"a": ("passed", ""), "b": ("refused", "error: /tmp/b/graph.onnx: no | yes"), "c": ("passed", "")}
    assert table.regressions(tmp_path, "suite", found, whole=True) != []
    table.save(tmp_path, "suite", index, found)
    page = (tmp_path / "suite.md").read_text()
    assert "| Add | f32 | 2 | 1 | . |" in page
    assert page.split("## What did not pass")[1].splitlines()[4:] == ["| b | refused | no \\| yes |"]
    assert table.regressions(tmp_path, "suite", found, whole=True) == []
    better = {**found, "b": ("passed", "")}
    assert table.regressions(tmp_path, "suite", better, whole=True) == []
    for status in ("refused", "wrong"):
        (line,) = table.regressions(tmp_path, "suite", {**found, "c": (status, "why")}, whole=True)
        assert line.startswith(f"c: {status}")
    lost = {"a": found["a"], "b": found["b"]}
    assert table.regressions(tmp_path, "suite", lost, whole=True) == ["c: it is not in the suite any more"]
    assert table.regressions(tmp_path, "suite", lost, whole=False) == []
    assert table.regressions(tmp_path, "suite", {**found, "d": ("wrong", "why")}, whole=True) == [
        "d: new and wrong: why"
    ]


def test_the_committed_tables_are_of_these_suites(generated, node_tests):
    committed = json.loads((run.ROOT / "tests/conformance/suite.json").read_text())
    assert {case.name for case in generated} <= set(committed)
    names = {case.name for case in node_tests}
    assert names == set(json.loads((run.ROOT / "tests/conformance/backend.json").read_text()))


def test_a_zipmap_is_its_matrix_in_the_order_of_its_classes():
    from ranklet_models.conformance.case import answers, classes_of, session

    node = onnx.helper.make_node("ZipMap", ["X"], ["Y"], domain="ai.onnx.ml", classlabels_strings=["b", "a"])
    entry = onnx.helper.make_map_type_proto(
        onnx.TensorProto.STRING, onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    )
    output = onnx.helper.make_value_info("Y", onnx.helper.make_sequence_type_proto(entry))
    graph = onnx.helper.make_graph([node], "g", [onnx.helper.make_tensor_value_info("X", 1, ["N", 2])], [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    x = np.array([[0.25, 0.75]], np.float32)
    assert (answers(session(model), {"X": x}, classes_of(model))["Y"] == x).all()


# A package in place of ours: its scorer answers with the bundle's own bytes as tensors, off where it is told to be.
FACE = """
import {{ readFileSync }} from "node:fs";
export async function createScorer({{ bundle }}) {{
  const first = new Float32Array(new Uint8Array(bundle).buffer);
  const data = first.map((v, i) => (i === {off} ? v + 1e-6 : v));
  return {{ score: () => ({{ Y0: {{ data, dims: [data.length] }} }}), dispose() {{}} }};
}}
"""


@pytest.mark.parametrize(("off", "wrong"), [(-1, False), (2, True)])
def test_the_wasm_must_give_the_native_bits(tmp_path, off, wrong):
    package, home = tmp_path / "dist", tmp_path / "case"
    package.mkdir()
    home.mkdir()
    (package / "scorer-node.js").write_text(FACE.format(off=off))
    (package / "package.json").write_text('{"type": "module"}')
    (package / "scorer.wasm").write_bytes(b"\0asm\1\0\0\0")
    y = np.array([0.5, np.nan, -0.25, 3.0], np.float32)
    (home / "graph.ranklet").write_bytes(y.tobytes())
    save_file({"Y0": y}, home / "whole.out.safetensors")
    save_file({"X": y}, home / "whole.in.safetensors")
    entry = {"name": "case", "folder": "case", "runs": {"whole": None}}
    found = wasm.compare_all(package, tmp_path, [entry])
    if not wrong:
        assert found == {}
    else:
        status, why = found["case"]
        assert status == "wrong" and why.startswith("wasm: whole: output Y0 at 2 is -0.24999")
