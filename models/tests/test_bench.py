"""The benchmark's models: their stated work is the graph's own, and every input matters."""

import numpy as np
import onnx
import pytest

from ranklet_models.bench.case import DTYPES, Case
from ranklet_models.bench.dense import mlp, two_towers
from ranklet_models.bench.multi_task import HISTORY, REAL, multi_task
from ranklet_models.bench.rerank import KNOTS, SPEC, calibrator, join, plain, session
from ranklet_models.spec import columns
from ranklet_models.trees import Shape, run_onnx, to_onnx, train

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


def test_joined_classifiers_are_each_its_own():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    models = {head: to_onnx(train(x, x[:, i] > 0, Shape(trees=3, leaves=4)), 4) for i, head in enumerate(["a", "b"])}
    joined = join(models)
    onnx.checker.check_model(joined, full_check=True)
    found = run_onnx(joined.SerializeToString(), {"X": x})
    for head, model in models.items():
        alone = run_onnx(model.SerializeToString(), {"X": x})["probabilities"]
        assert (found[head] == alone).all()
    assert (found["a"] != found["b"]).any()


def test_a_calibrator_has_all_its_knots_and_rises():
    rng = np.random.default_rng(1)
    score = rng.beta(2, 8, 4000).astype(np.float32)
    curve = calibrator(score, rng.random(4000) < score)
    knots = onnx.numpy_helper.to_array(next(w for w in curve.graph.initializer if w.name == "lower"))
    assert knots.shape == (1, KNOTS - 1)
    x = np.sort(rng.uniform(score.min(), score.max(), 1000)).astype(np.float32)
    y = run_onnx(curve.SerializeToString(), {"score": x[:, None]})["calibrated"].ravel()
    assert (np.diff(y) >= 0).all() and y[-1] > y[0]


def test_the_whole_rerank_has_forty_columns_and_a_twin_without_policy():
    assert len(columns(SPEC)) == 40
    spec, bare = SPEC.read_text(), plain(SPEC.read_text())
    assert "[policy]" in spec and "[policy]" not in bare
    assert spec.count("[[features]]") == bare.count("[[features]]") and spec.count("[[heads]]") == bare.count("[[heads]]")


def test_a_session_names_its_own_candidates():
    request, events = session(np.random.default_rng(3), 0)
    keys = [candidate["key"] for candidate in request["candidates"]]
    assert len(keys) == len(set(keys)) == 100
    assert all(event["time"] <= request["now"] and event.get("key", keys[0]) in keys for event in events)
