"""What is committed for ads-recs loads, fits together and gives ONNX Runtime's golden answers."""

import json

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from ranklet_models import native, trees
from ranklet_models.ads_recs.dataset import HOME, SPEC
from ranklet_models.simulator.catalogue import SURFACES, TOPICS, TYPE_NAMES
from ranklet_models.spec import columns, tomllib, without_context


def spec():
    return tomllib.loads(SPEC.read_text())


def test_the_spec_names_the_files_that_lie_beside_it():
    read = spec()
    files = [read["model"]["onnx"], read["model"]["golden"], *(c["onnx"] for h in read["heads"] for c in h["calibrators"])]
    for name in files:
        assert (HOME / name).is_file(), name
    assert read["surfaces"] == list(SURFACES)
    words = {f["name"]: f.get("vocabulary") for f in read["features"]}
    assert words["type"] == list(TYPE_NAMES) and words["topic"] == list(TOPICS)


def test_the_spec_uses_every_transform_and_kind():
    features = spec()["features"]
    ops = {t["op"] for f in features for t in f.get("transforms", [])}
    assert ops == {"log1p", "clip", "standardise", "bucketise", "quantile", "age", "ratio", "product", "is_missing"}
    assert {f.get("kind", "numeric") for f in features} == {"numeric", "boolean", "categorical", "related"}
    assert any("hash_buckets" in f for f in features) and any(f.get("aggregate") == "max" for f in features)


def test_without_context_blanks_the_columns_of_the_session_alone():
    names = columns(SPEC)
    blank = without_context(np.ones((2, len(names)), np.float32), names)
    assert [bool(np.isnan(v)) for v in blank[0]] == [n.startswith("local.") for n in names]
    assert 15 < np.isnan(blank[0]).sum() < len(names) - 15


def test_the_ranker_gives_the_golden_answers():
    model = (HOME / "ranker.onnx").read_bytes()
    onnx.checker.check_model(onnx.load_model_from_string(model))
    golden = load_file(HOME / "golden.safetensors")
    assert golden["X"].shape[1] == len(columns(SPEC)) and 64 <= len(golden["X"]) <= 256
    got = trees.run_onnx(model, {"X": golden["X"]})
    assert set(got) == set(golden) - {"X"}
    for name, value in got.items():
        assert np.array_equal(value, golden[name]), name


def test_the_calibrator_rises_and_stays_a_probability():
    model = (HOME / "calibrator.onnx").read_bytes()
    y = trees.run_onnx(model, {"score": np.linspace(0, 1, 1001, dtype=np.float32)[:, None]})["calibrated"]
    assert y.shape == (1001, 1) and (np.diff(y[:, 0]) >= -1e-7).all() and 0 <= y.min() and y.max() <= 1


def test_recorded_requests_and_events():
    paths = sorted((HOME / "requests").glob("*.json"))
    assert [p.stem for p in paths] == ["01", "02", "03", "04", "05"]
    for path in paths:
        request = json.loads(path.read_text())
        events = [json.loads(line) for line in (HOME / "events" / f"{path.stem}.jsonl").open()]
        assert events and {e["session"] for e in events} == {request["session"]}
        assert all(e["time"] <= request["now"] for e in events)
        assert all(c["features"]["title"] for c in request["candidates"])
    first = json.loads(paths[0].read_text())
    assert first["surface"] == "ads_manager" and len(first["candidates"]) == 12


def test_events_change_the_order_of_the_demo(tmp_path):
    try:
        native.binary()
    except native.Missing as missing:
        pytest.skip(str(missing))
    bundle = native.compile_bundle(SPEC, tmp_path / "ads-recs.ranklet")
    request = HOME / "requests" / "01.json"
    before = json.loads(native.run("rerank", bundle, "--request", request, "--json"))
    after = json.loads(native.run("rerank", bundle, "--request", request, "--events", HOME / "events" / "01.jsonl", "--json"))
    orders = [[i["server_rank"] for i in r["items"]] for r in (before, after)]
    assert before["source"] == after["source"] == "model"
    assert orders[0] != sorted(orders[0]) and orders[1] != orders[0]
