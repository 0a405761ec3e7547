"""Measure the committed ads-recs model on people it has never seen.

    python -m ranklet_models.ads_recs.evaluate [--json] [--null-seeds N]

Features come from `ranklet featurize`, scores from `ranklet score`; a sample of lists is checked against `ranklet
rerank`. Cards that a person had dismissed or snoozed are left out of every order alike, so suppression earns nothing.
Intervals are 95 %, by resampling accounts.
"""

import argparse
import json
import shutil
import sys
import time

import numpy as np

from .. import metrics, native, trees
from ..simulator.logs import World
from ..spec import columns
from ..tables import span, table
from .dataset import HOME, OUT, SPEC, Dataset, build
from .train import SHAPE, TRAIN, fit

TEST = World(seed=13, accounts=1200)
NULL_TRAIN, NULL_TEST = 400, 300  # accounts of each null world
NULL_SEED = 1_000
CHECKED = 20  # lists compared with `ranklet rerank`


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Lists:
    """The shown rows of a dataset, list by list, and metrics of any order of them."""

    def __init__(self, data: Dataset):
        self.data = data
        cuts = np.flatnonzero(np.diff(data.request)) + 1
        self.rows = [r[data.shown[r]] for r in np.split(np.arange(len(data.request)), cuts)]
        self.account = np.array([data.account[r[0]] for r in self.rows if len(r)])
        self.rows = [r for r in self.rows if len(r)]

    def of(self, score: np.ndarray) -> dict[str, np.ndarray]:
        """NDCG@10 and accept@3 of each list under `score`, ties in server order."""
        gains = [self.data.label[r][np.argsort(-score[r], kind="stable")] for r in self.rows]
        return {
            "ndcg@10": np.array([metrics.ndcg(g, 10) for g in gains]),
            "accept@3": np.array([metrics.accepted_at(g, 3) for g in gains]),
        }


def product_scores(model: bytes, x: np.ndarray, name: str) -> np.ndarray:
    """Probability of acceptance by `ranklet score`, from a bundle of the bare ONNX file."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.onnx"
    path.write_bytes(model)
    bundle = native.compile_bundle(path, OUT / f"{name}.ranklet")
    return native.score(bundle, {"X": x}, OUT / name)["probabilities"][:, 1]


def calibrated(raw: np.ndarray) -> np.ndarray:
    """The committed calibrator, by `ranklet score`."""
    bundle = native.compile_bundle(HOME / "calibrator.onnx", OUT / "calibrator.ranklet")
    column = raw.reshape(-1, 1).astype(np.float32)
    return native.score(bundle, {"score": column}, OUT / "calibrator")["calibrated"][:, 0].astype(float)


def ranking(data: Dataset, orders: dict[str, np.ndarray]) -> dict:
    """Each order's metrics, and its gain over the server's, with intervals."""
    lists = Lists(data)
    values = {name: lists.of(score) for name, score in orders.items()}
    report = {"lists": len(lists.rows), "lists_with_accept": int(np.sum(~np.isnan(values["server"]["ndcg@10"])))}
    for name, value in values.items():
        report[name] = {}
        for metric, v in value.items():
            mean, low, high = metrics.interval(v, lists.account)
            gain, gain_low, gain_high = metrics.interval(v - values["server"][metric], lists.account)
            report[name][metric] = {"mean": mean, "interval": [low, high]}
            report[name][metric] |= {"gain": gain, "gain_interval": [gain_low, gain_high]}
    ours, theirs = values["with context"], values["without context"]
    report["context"] = {m: dict(zip(("gain", "low", "high"), metrics.interval(ours[m] - theirs[m], lists.account))) for m in ours}
    return report


def calibration(p: np.ndarray, y: np.ndarray) -> dict:
    """Normalised entropy, ECE and PCOC by decile."""
    return {
        "normalised_entropy": metrics.normalised_entropy(p, y),
        "ece": metrics.ece(p, y),
        "pcoc": float(p.mean() / y.mean()),
        "pcoc_by_decile": metrics.pcoc(p, y),
    }


def small_world(seed: int, null: bool) -> dict:
    """Train both models in a world of its own, and measure the gain of context there."""
    train = build(World(seed, NULL_TRAIN, null), "null-train")
    test = build(World(seed + 500, NULL_TEST, null), "null-test")
    lists, width = Lists(test), train.x.shape[1]
    with_context = trees.to_onnx(fit(train, True), width).SerializeToString()
    without = trees.to_onnx(fit(train, False), width).SerializeToString()
    ours = lists.of(product_scores(with_context, test.x, "null-with"))["ndcg@10"]
    theirs = lists.of(product_scores(without, test.blank, "null-without"))["ndcg@10"]
    gain, low, high = metrics.interval(ours - theirs, lists.account)
    return {"seed": seed, "gain": gain, "low": low, "high": high, "covers_zero": low <= 0 <= high}


def check_orders(score: np.ndarray, data: Dataset) -> int:
    """How many of a few lists `ranklet rerank` puts in the same order as the bulk scores do."""
    folder = OUT / "test"
    bundle = native.compile_bundle(SPEC, OUT / "ads-recs.ranklet")
    with (folder / "requests.jsonl").open() as f:
        requests = [json.loads(next(f)) for _ in range(CHECKED)]
    wanted = {r["session"] for r in requests}
    events: dict[str, list[str]] = {s: [] for s in wanted}
    with (folder / "events.jsonl").open() as f:
        for line in f:
            event = json.loads(line)
            if event["session"] in wanted:
                events[event["session"]].append(line)
    same = 0
    for j, request in enumerate(requests):
        one, seen = folder / "one.json", folder / "one.jsonl"
        one.write_text(json.dumps(request))
        seen.write_text("".join(events[request["session"]]))
        record = json.loads(native.run("rerank", bundle, "--request", one, "--events", seen, "--json"))
        rows = np.flatnonzero(data.request == j)
        place = {c["id"]: k for k, c in enumerate(request["candidates"])}
        theirs = [place[i["id"]] for i in record["items"] if data.label[rows[place[i["id"]]]] >= 0]
        shown = np.flatnonzero(data.label[rows] >= 0)
        ours = shown[np.argsort(-score[rows][shown], kind="stable")].tolist()
        same += record["source"] == "model" and theirs == ours
    return same


def evaluate(null_seeds: int) -> dict:
    """The whole report as one JSON value."""
    began = time.monotonic()
    test = build(TEST, "test", keep=True)
    train = build(TRAIN, "train")
    say(f"simulated and featurized, {time.monotonic() - began:.0f} s")
    committed = (HOME / "ranker.onnx").read_bytes()
    again = trees.to_onnx(fit(train, True), train.x.shape[1], train.schema).SerializeToString()
    blind = trees.to_onnx(fit(train, False), train.x.shape[1]).SerializeToString()
    ours = product_scores(committed, test.x, "with")
    theirs = product_scores(blind, test.blank, "without")
    orders = {"server": test.server, "without context": theirs, "with context": ours, "oracle": test.truth}
    report = {"shape": json.loads(trees.describe(SHAPE)), "columns": len(columns(SPEC)), "reproduced": again == committed}
    report["ranking"] = ranking(test, orders)
    shown, y = test.shown, test.label[test.shown].astype(float)
    report["rerank_agrees"] = {"lists": CHECKED, "same_order": check_orders(ours, test)}
    report["calibration"] = {
        "rows": int(shown.sum()),
        "base_rate": float(y.mean()),
        "before": calibration(ours[shown].astype(float), y),
        "after": calibration(calibrated(ours[shown]), y),
        "base rate everywhere": calibration(np.full(len(y), y.mean()), y),
    }
    say(f"measured, {time.monotonic() - began:.0f} s")
    report["informative_small_world"] = small_world(NULL_SEED, null=False)
    report["null_worlds"] = []
    for k in range(null_seeds):
        report["null_worlds"].append(small_world(NULL_SEED + 1 + k, null=True))
        say(f"null world {k + 1} of {null_seeds}, {time.monotonic() - began:.0f} s")
    report["null_covering"] = sum(w["covers_zero"] for w in report["null_worlds"])
    report["seconds"] = round(time.monotonic() - began, 1)
    shutil.rmtree(OUT)
    return report


def show(report: dict) -> str:
    """The report for a terminal."""
    r, c = report["ranking"], report["calibration"]
    rows = []
    for name in ("server", "without context", "with context", "oracle"):
        n, a = r[name]["ndcg@10"], r[name]["accept@3"]
        gain = "" if name == "server" else f"{n['gain']:+.4f} {span(*n['gain_interval'], signed=True)}"
        rows.append([name, f"{n['mean']:.4f} {span(*n['interval'])}", gain, f"{a['mean']:.4f}"])
    context = r["context"]["ndcg@10"]
    agree = report["rerank_agrees"]
    text = [
        table(
            f"Orders on held-out sessions ({r['lists_with_accept']:,} lists with an accept, of {r['lists']:,})",
            ["order", "NDCG@10", "gain over the server", "accept@3"],
            rows,
            [
                f"gain of context: {context['gain']:+.4f} {span(context['low'], context['high'], signed=True)}",
                f"`ranklet rerank` gives the same order in {agree['same_order']} of {agree['lists']} lists",
                f"retraining gives the committed bytes: {'yes' if report['reproduced'] else 'no'}",
            ],
        )
    ]
    names = ("before", "after", "base rate everywhere")
    text.append(
        table(
            f"Calibration on {c['rows']:,} rows, base rate {c['base_rate']:.4f}",
            ["", "normalised entropy", "ECE", "PCOC"],
            [[n, f"{c[n]['normalised_entropy']:.4f}", f"{c[n]['ece']:.5f}", f"{c[n]['pcoc']:.3f}"] for n in names],
            ["a constant has a small ECE too: read it beside the entropy and the base rate"],
        )
    )
    text.append(
        table(
            "PCOC (predicted over observed) by equal-mass decile, lowest scores first",
            ["", *map(str, range(1, 11))],
            [[n, *(f"{v:.2f}" for v in c[n]["pcoc_by_decile"])] for n in names[:2]],
        )
    )
    worlds, alive = report["null_worlds"], report["informative_small_world"]
    text.append(
        table(
            "Null worlds: the session carries nothing, both models trained there; gain of context in NDCG@10",
            ["seed", "gain", "95 % interval", "covers 0"],
            [
                [w["seed"], f"{w['gain']:+.4f}", span(w["low"], w["high"], signed=True), "yes" if w["covers_zero"] else "no"]
                for w in worlds
            ],
            [
                f"{report['null_covering']} of {len(worlds)} intervals cover 0",
                f"an informative world of the same size: {alive['gain']:+.4f} {span(alive['low'], alive['high'], signed=True)}",
            ],
        )
    )
    return "\n\n".join([*text, f"{report['seconds']} s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--null-seeds", type=int, default=20, help="null worlds to train in (default 20)")
    options = parser.parse_args()
    report = evaluate(options.null_seeds)
    print(json.dumps(report, indent=1) if options.json else show(report))


if __name__ == "__main__":
    main()
