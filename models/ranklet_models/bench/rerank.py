"""The bundle's parts, the request and the events of the whole-rerank benchmark.

    python -m ranklet_models.bench.rerank FOLDER

100 candidates x 40 columns, 4 heads x 200 trees x 31 leaves, an isotonic calibrator of 64 knots for each head. The columns
stand in rerank.toml and are computed by `ranklet featurize` from sessions drawn here. Seeded: the same package versions give
the same files.
"""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from onnx import helper
from safetensors.numpy import save_file

from .. import calibrators, native, trees
from ..spec import columns

SPEC = Path(__file__).with_name("rerank.toml")
HEADS = ["open", "accept", "dismiss", "convert"]
RATES = [0.3, 0.08, 0.1, 0.02]
"""How often each of them happens."""

CANDIDATES, REQUESTS, EVENTS = 100, 200, 24
"""Of one request; sessions that are learnt from, one request each; events of a session at most."""

SHAPE = trees.Shape(trees=200, leaves=31, rate=0.05, least=20, l2=1.0)
KNOTS = 64
GOLDEN_ROWS = 128
NOW = 1_761_100_000_000
DAY = 86_400_000

TYPES = [
    "raise_budget", "lower_bid", "raise_bid", "add_keywords", "add_negative_keywords", "add_creative", "fix_disapproved_ad",
    "widen_audience", "fix_conversion_tag", "add_promotion",
]  # fmt: skip
TOPICS = ["budget", "bidding", "keywords", "creative", "audience", "measurement", "catalogue"]
SURFACES = ["ads_manager", "assistant", "sales_console"]


def candidate(rng: np.random.Generator, row: int) -> dict:
    kind = TYPES[rng.integers(len(TYPES))]
    features = {
        "topic": TOPICS[rng.integers(len(TOPICS))],
        "uplift": round(float(rng.gamma(2, 0.05)), 4),
        "adoption": round(float(rng.beta(2, 5)), 4),
        "minutes": round(float(rng.gamma(2, 3)), 2),
        "created_at": NOW - int(rng.integers(60 * DAY)),
        "cost": round(float(rng.normal(0, 20)), 2),
        "reach": round(float(rng.random()), 4),
        "novelty": round(float(rng.random()), 4),
    }
    if rng.random() < 0.75:
        features["severity"] = round(float(rng.random()), 4)
    target = f"c{rng.integers(12)}"
    return {
        "id": f"r{row}",
        "key": f"{kind}:{target}:{row}",
        "type": kind,
        "target": target,
        "server_score": round(float(np.exp(-row / 40) * rng.uniform(0.8, 1.2)), 6),
        "value": round(float(rng.uniform(0.5, 2)), 3),
        "spend_effect": features["cost"],
        "benefit_lower": round(float(rng.normal(0.05, 0.1)), 4),
        "features": features,
    }


def facts(rng: np.random.Generator) -> dict:
    impressions = int(rng.integers(1_000, 100_000))
    return {
        "account": {"country": ["DE", "US", "JP", "BR"][rng.integers(4)], "monthly_spend": float(rng.gamma(1, 4000))},
        "campaign": {
            "strategy": ["manual", "max_clicks", "target_cpa", "target_roas"][rng.integers(4)],
            "daily_budget": float(rng.uniform(5, 500)),
            "ad_strength": int(rng.integers(5)),
        },
        "performance": {
            "impressions": impressions,
            "clicks": int(impressions * rng.beta(2, 60)),
            "lost_to_budget": float(rng.beta(1, 4)),
            "lost_to_rank": float(rng.beta(1, 4)),
            "tag_health": float(rng.random()),
        },
        "market": {"season": float(rng.random())},
        "workflow": {"last_login_at": NOW - int(rng.integers(30 * DAY))},
    }


def session(rng: np.random.Generator, index: int) -> tuple[dict, list[dict]]:
    """One request, and what its session did in the half hour before."""
    name = f"s{index}"
    request = {
        "decision_id": f"d{index}",
        "session": name,
        "surface": SURFACES[rng.integers(len(SURFACES))],
        "now": NOW,
        "seed": 7,
        "candidates": [candidate(rng, row) for row in range(CANDIDATES)],
        "facts": facts(rng),
    }
    events = []
    for at in np.sort(rng.integers(1, 30 * 60_000, rng.integers(EVENTS + 1)))[::-1]:
        about = request["candidates"][min(int(rng.exponential(12)), CANDIDATES - 1)]
        kind = ["impression", "open", "dwell", "dismiss", "edit"][rng.choice(5, p=[0.4, 0.3, 0.2, 0.07, 0.03])]
        event = {"session": name, "type": kind, "surface": request["surface"], "time": NOW - int(at)}
        if kind == "edit":
            event |= {"field": "daily_budget", "value": 10}
        else:
            event |= {"key": about["key"], "candidate_type": about["type"]}
        if kind == "dwell":
            event["value"] = int(rng.integers(500, 20_000))
        events.append(event)
    return request, events


def write_lines(path: Path, values: list[dict]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def label(rng: np.random.Generator, x: np.ndarray, rate: float) -> np.ndarray:
    """Outcomes that depend on every column a little and on pairs of some, so that trees have something to find."""
    z = np.nan_to_num((x - np.nanmean(x, axis=0)) / (np.nanstd(x, axis=0) + 1e-6))
    pairs = rng.permutation(x.shape[1])[:20].reshape(10, 2)
    score = z @ rng.normal(size=x.shape[1]) / 3 + sum(z[:, a] * z[:, b] for a, b in pairs) / 4
    return score + rng.logistic(size=len(x)) > np.quantile(score, 1 - rate)


def join(models: dict[str, onnx.ModelProto]) -> onnx.ModelProto:
    """One graph of several classifiers over the same X: the probabilities of each under its head's name."""
    nodes, weights, outputs = [], [], []
    first = next(iter(models.values()))
    for head, model in models.items():
        names = {"X": "X", "probabilities": head}
        for node in model.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{head}/{len(nodes)}"
            for values in (copy.input, copy.output):
                values[:] = [names.get(value, f"{head}/{value}") for value in values]
            nodes.append(copy)
        for weight in model.graph.initializer:
            copy = onnx.TensorProto()
            copy.CopyFrom(weight)
            copy.name = f"{head}/{weight.name}"
            weights.append(copy)
        outputs.append(helper.make_tensor_value_info(head, onnx.TensorProto.FLOAT, ["N", 2]))
    graph = helper.make_graph(nodes, "heads", first.graph.input, outputs, weights)
    return helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)


def calibrator(score: np.ndarray, outcome: np.ndarray) -> onnx.ModelProto:
    """Isotonic, with KNOTS knots however the fit pools them: half of it is the fit and half the score, which never pools."""
    fitted = calibrators.fit_isotonic(score, outcome)
    x = np.unique(np.quantile(score.astype(np.float64), np.linspace(0, 1, KNOTS)))
    assert len(x) == KNOTS
    return calibrators.isotonic_graph(SimpleNamespace(X_thresholds_=x, y_thresholds_=(fitted.predict(x) + x) / 2))


def plain(spec: str) -> str:
    """The specification without its [policy]."""
    before, rest = spec.split("[policy]\n")
    return before + rest[rest.index("\n[[features]]") :]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    drawn = [session(rng, index) for index in range(REQUESTS)]
    requests = write_lines(folder / "requests.jsonl", [request for request, _ in drawn])
    events = write_lines(folder / "events.jsonl", [event for _, events in drawn for event in events])
    (folder / "request.json").write_text(json.dumps(drawn[0][0]))
    shutil.copyfile(SPEC, folder / "spec.toml")
    (folder / "plain.toml").write_text(plain(SPEC.read_text()))
    x = native.featurize(folder / "plain.toml", requests, events, folder / "X.safetensors")["X"]
    assert x.shape == (REQUESTS * CANDIDATES, len(columns(SPEC))) and x.shape[1] == 40
    outcomes = [label(rng, x, rate) for rate in RATES]
    fitted = {head: trees.to_onnx(trees.train(x, y, SHAPE), x.shape[1]) for head, y in zip(HEADS, outcomes)}
    model = join(fitted).SerializeToString()
    (folder / "ranker.onnx").write_bytes(model)
    scores = trees.run_onnx(model, {"X": x})
    for head, outcome in zip(HEADS, outcomes):
        curve = calibrator(scores[head][:, 1], outcome)
        (folder / f"calibrator-{head}.onnx").write_bytes(curve.SerializeToString())
    rows = np.ascontiguousarray(x[np.linspace(0, len(x) - 1, GOLDEN_ROWS).astype(int)])
    save_file({"X": rows} | trees.run_onnx(model, {"X": rows}), folder / "golden.safetensors")
    for head in HEADS:
        print(f"{head}: {scores[head][:, 1].mean():.3f} on average", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
