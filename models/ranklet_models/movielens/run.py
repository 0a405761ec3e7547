"""Train and measure the movielens re-ranker, the lists re-ranked by the runtime's wasm in Node.

    python -m ranklet_models.movielens.run [--json]

Reads RANKLET_DATA (default ../shared/data). Everything is written below models/movielens/out and nothing of it is
committed. Exit code 77: the data are not there, so this was skipped.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import metrics, native, trees
from ..native import REPOSITORY, Missing
from ..spec import columns, without_context
from ..tables import span, table
from . import data
from .requests import CANDIDATES, Server, Snapshot, Stage, write_server_requests, write_stage

OUT = REPOSITORY / "models" / "movielens" / "out"
HERE = Path(__file__).parent
SHAPES = tuple(trees.Shape(120, leaves, rate, 100) for leaves in (7, 15) for rate in (0.03, 0.06))
TIE = 1e-5  # score differences below it count as ties when two engines are compared
SKIPPED = 77


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Part:
    """One side of the split in time, as the server sees it."""

    server: Server
    snapshots: list[Snapshot]
    matrix: dict[str, np.ndarray]

    def per_session(self, values: np.ndarray) -> list[np.ndarray]:
        cuts = np.flatnonzero(np.diff(self.matrix["request"])) + 1
        return np.split(values, cuts)


def spec_file(name: str) -> Path:
    """Copy a spec into the output folder, where the ONNX file it names will lie."""
    shared = (HERE / "features.toml").read_text()
    path = OUT / f"{name}.toml"
    path.write_text((HERE / f"{name}.toml").read_text().replace("@SERVER_FEATURES@", shared))
    return path


def server_part(movies: data.Movies, ratings: data.Ratings, part: tuple[int, int], known: int, name: str) -> Part:
    """Sessions that start in a span of time, featurized for the server's model."""
    server = Server(movies, ratings, known)
    found = data.sessions(ratings, *part, data.FIT_MOMENTS if name == "train" else data.TEST_MOMENTS, seed=7)
    snapshots = list(server.snapshots(found))
    requests = OUT / f"server-{name}.jsonl"
    write_server_requests(server, snapshots, requests)
    matrix = native.featurize(OUT / "server.toml", requests, None, OUT / f"server-{name}.safetensors")
    return Part(server, snapshots, matrix)


def tune(x: np.ndarray, y: np.ndarray) -> trees.Shape:
    """The shape with the least log loss on the last quarter of the rows, which are in time order; the same for all."""
    cut = len(y) * 3 // 4
    losses = [metrics.log_loss(trees.train(x[:cut], y[:cut], s).predict(x[cut:], num_threads=1), y[cut:]) for s in SHAPES]
    return SHAPES[int(np.argmin(losses))]


def server_labels(part: Part) -> np.ndarray:
    """Of every movie of each session's pool: is it among the next ones at one of the session's moments?"""
    targets = (np.concatenate([m.targets for m in s.session.moments]) for s in part.snapshots)
    return np.concatenate([np.isin(s.pool, t) for s, t in zip(part.snapshots, targets)]).astype(int)


def train_server(part: Part, shape: trees.Shape, users: np.ndarray | None = None) -> Path:
    """The server's classifier, compiled. With `users`, only their sessions are learnt from."""
    rows = [np.full(len(s.pool), users is None or s.session.user in users) for s in part.snapshots]
    keep = np.concatenate(rows)
    x, y = part.matrix["X"][keep], server_labels(part)[keep]
    (OUT / "server.onnx").write_bytes(trees.to_onnx(trees.train(x, y, shape), x.shape[1]).SerializeToString())
    return native.compile_bundle(OUT / "server.toml", OUT / "server.ranklet")


def server_scores(part: Part, bundle: Path) -> list[np.ndarray]:
    """The server's probability of every movie of each session's pool."""
    return part.per_session(native.score(bundle, {"X": part.matrix["X"]}, OUT / "server-score")["probabilities"][:, 1])


def crossed_scores(part: Part, shape: trees.Shape) -> list[np.ndarray]:
    """The same for sessions that are trained on, each scored by a server that has not learnt from its user."""
    users = np.unique([s.session.user for s in part.snapshots])
    folds = (users[::2], users[1::2])
    scores = [server_scores(part, train_server(part, shape, fold)) for fold in folds]
    return [scores[1][j] if s.session.user in folds[0] else scores[0][j] for j, s in enumerate(part.snapshots)]


def in_node(bundle: Path, stage: Stage, events: Path, name: str) -> tuple[list[dict], dict]:
    """Re-rank every request of a stage by the wasm in Node; one answer a request, and the time it took."""
    out = OUT / f"{name}.jsonl"
    done = subprocess.run(
        ["node", HERE / "rerank.mjs", bundle, stage.requests, events, out], capture_output=True, text=True, cwd=REPOSITORY
    )
    if done.returncode != 0:
        raise RuntimeError(f"rerank.mjs: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    answers = [json.loads(line) for line in out.open()]
    if served := [a["reason"] for a in answers if a["source"] != "model"]:
        raise RuntimeError(f"rerank.mjs: {len(served)} lists in server order, the first because of {served[0]}")
    return answers, json.loads(done.stdout)


def ndcg_of(stage: Stage, orders: list[np.ndarray]) -> np.ndarray:
    """NDCG@10 of each request; a target that is no candidate counts in the ideal list."""
    values = []
    for gains, order, targets in zip(stage.gains, orders, stage.targets):
        ideal = np.concatenate([gains[order], np.ones(int(targets - gains.sum()))])
        hits = gains[order][:10]
        best = 1.0 / np.log2(np.arange(2, min(10, int(targets)) + 2))
        values.append(float((hits / np.log2(np.arange(2, len(hits) + 2))).sum() / best.sum()) if len(ideal) else 0.0)
    return np.array(values)


def popularity_ndcg(stage: Stage) -> np.ndarray:
    """NDCG@10 of the whole pool in order of popularity."""
    values = []
    for gains, targets in zip(stage.popularity, stage.targets):
        best = 1.0 / np.log2(np.arange(2, min(10, int(targets)) + 2))
        values.append(float((gains[:10] / np.log2(np.arange(2, len(gains[:10]) + 2))).sum() / best.sum()))
    return np.array(values)


def against_onnxruntime(model: bytes, x: np.ndarray, request: np.ndarray, answers: list[dict], stage: Stage) -> dict:
    """Orders by ONNX Runtime's scores of the same rows: flips, and NDCG once near-equal scores keep the wasm's order."""
    score = trees.run_onnx(model, {"X": x})["probabilities"][:, 1].astype(float)
    ties, flips, farthest, orders = 0, 0, 0.0, []
    for s, a in zip(np.split(score, np.flatnonzero(np.diff(request)) + 1), answers):
        wasm = np.array(a["order"])
        farthest = max(farthest, float(np.abs(s - np.array(a["score"])).max()))
        falls = np.subtract.outer(s[wasm], s[wasm])  # [i, j] > 0: i above j in both, for i before j
        inverted = np.triu(-falls, 1)
        flips += int((inverted >= TIE).sum())
        ties += int(((inverted > 0) & (inverted < TIE)).sum())
        orders.append(_sorted_with_ties(wasm, s))
    return {"ndcg": float(ndcg_of(stage, orders).mean()), "flips": flips, "flips_within_tie": ties, "largest_difference": farthest}


def _sorted_with_ties(wasm: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Order by score; a run of neighbours closer than a tie keeps the wasm's order among themselves."""
    best = np.argsort(-score, kind="stable")
    place = np.argsort(wasm)
    runs = np.split(best, np.flatnonzero(-np.diff(score[best]) >= TIE) + 1)
    return np.concatenate([run[np.argsort(place[run], kind="stable")] for run in runs])


def run() -> dict:
    """The whole report as one JSON value."""
    began = time.monotonic()
    movies, ratings = data.load(data.folder())
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    spec_file("server")
    rerank_spec = spec_file("rerank")
    from_, until = (int(t) for t in np.quantile(ratings.time, (data.TRAIN_FROM, data.TEST_FROM)))
    train = server_part(movies, ratings, (from_, until), from_, "train")
    test = server_part(movies, ratings, (until, int(ratings.time[-1]) + 1), until, "test")
    shape = tune(train.matrix["X"], server_labels(train))
    fit = write_stage(train.server, train.snapshots, crossed_scores(train, shape), OUT / "fit")
    held = write_stage(test.server, test.snapshots, server_scores(test, train_server(train, shape)), OUT / "held")
    say(f"server trained, {time.monotonic() - began:.0f} s")
    names = columns(rerank_spec)
    seen = native.featurize(rerank_spec, fit.requests, fit.events, OUT / "fit.safetensors")["X"]
    strange = native.featurize(rerank_spec, fit.requests, fit.control, OUT / "fit-control.safetensors")["X"]
    label = np.concatenate(fit.gains).astype(int)
    matrices = {"session": seen, "no session": without_context(seen, names), "foreign": strange}
    models = {k: trees.train(x, label, tune(x, label)) for k, x in matrices.items()}
    exported = {k: trees.to_onnx(b, len(names)).SerializeToString() for k, b in models.items()}
    say(f"re-rankers trained, {time.monotonic() - began:.0f} s")

    def bundle_of(name: str) -> Path:
        (OUT / "rerank.onnx").write_bytes(exported[name])
        return native.compile_bundle(rerank_spec, OUT / f"{name.replace(' ', '-')}.ranklet")

    answers, node = in_node(bundle_of("session"), held, held.events, "reranked")
    control, _ = in_node(OUT / "session.ranklet", held, held.control, "control")
    foreign, _ = in_node(bundle_of("foreign"), held, held.control, "foreign")
    held_x = native.featurize(rerank_spec, held.requests, held.events, OUT / "held.safetensors")
    blind = native.score(_bare("no session", exported), {"X": without_context(held_x["X"], names)}, OUT / "blind")
    blind_orders = [
        np.argsort(-s, kind="stable")
        for s in np.split(blind["probabilities"][:, 1], np.flatnonzero(np.diff(held_x["request"])) + 1)
    ]
    say(f"re-ranked in Node, {time.monotonic() - began:.0f} s")

    values = {
        "popularity": popularity_ndcg(held),
        "server": ndcg_of(held, [np.arange(len(g)) for g in held.gains]),
        "second stage without session": ndcg_of(held, blind_orders),
        "re-ranked with the session": ndcg_of(held, [np.array(a["order"]) for a in answers]),
        "control: another's session": ndcg_of(held, [np.array(a["order"]) for a in control]),
        "control, trained on others'": ndcg_of(held, [np.array(a["order"]) for a in foreign]),
    }
    report = {"users": int(len(np.unique(held.users))), "requests": len(held.users), "candidates": CANDIDATES}
    report["split"] = {"train_from": from_, "test_from": until, "train_requests": len(fit.users)}
    report["target_share"] = float(sum(g.sum() for g in held.gains) / held.targets.sum())
    report["orders"] = {}
    for name, v in values.items():
        mean, low, high = metrics.interval(v, held.users)
        gain, gain_low, gain_high = metrics.interval(v - values["server"], held.users)
        report["orders"][name] = {"ndcg@10": mean, "interval": [low, high], "gain": gain, "gain_interval": [gain_low, gain_high]}
    ours, plain = values["re-ranked with the session"], values["second stage without session"]
    report["session_gain"] = dict(zip(("gain", "low", "high"), metrics.interval(ours - plain, held.users)))
    others = values["control, trained on others'"]
    report["control_gain"] = dict(zip(("gain", "low", "high"), metrics.interval(others - plain, held.users)))
    report["onnxruntime"] = against_onnxruntime(exported["session"], held_x["X"], held_x["request"], answers, held)
    report["onnxruntime"]["wasm_ndcg"] = float(ours.mean())
    report["node"] = node
    report["importance"] = trees.importance(models["session"], names)[:12]
    report["seconds"] = round(time.monotonic() - began, 1)
    return report


def _bare(name: str, exported: dict[str, bytes]) -> Path:
    path = OUT / "bare.onnx"
    path.write_bytes(exported[name])
    return native.compile_bundle(path, OUT / "bare.ranklet")


def show(report: dict) -> str:
    """The report for a terminal."""
    rows = []
    for name, o in report["orders"].items():
        gain = "" if name == "server" else f"{o['gain']:+.4f} {span(*o['gain_interval'], signed=True)}"
        rows.append([name, f"{o['ndcg@10']:.4f} {span(*o['interval'])}", gain])
    g, c, ort = report["session_gain"], report["control_gain"], report["onnxruntime"]
    notes = [
        f"{report['target_share']:.1%} of the targets are among the server's {report['candidates']} candidates",
        f"gain of the session over the same second stage without it: {g['gain']:+.4f} {span(g['low'], g['high'], signed=True)}",
        f"the same for a re-ranker trained and fed on other people's sessions: {c['gain']:+.4f} {span(c['low'], c['high'], signed=True)}",
        f"ONNX Runtime: NDCG@10 {ort['ndcg']:.6f}, wasm {ort['wasm_ndcg']:.6f}; {ort['flips']} flips, {ort['flips_within_tie']} within {TIE:g};"
        f" largest difference of scores {ort['largest_difference']:.1e}",
        f"wasm in Node {report['node']['node']}: {report['node']['ms']:.2f} ms for each list, prepared and re-ranked",
        "Ratings are entered in the site's own list order, a third of them in the same second as another:",
        "this tests the mechanism, not how well anybody's taste is known.",
    ]
    title = f"movielens: {report['requests']:,} lists of {report['users']} users after the split; 95 % intervals by user"
    return "\n\n".join([table(title, ["order", "NDCG@10", "gain over the server"], rows, notes), f"{report['seconds']} s"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    try:
        data.folder()
    except Missing as missing:
        print(json.dumps({"skipped": str(missing)}) if options.json else f"skipped: {missing}")
        return SKIPPED
    report = run()
    print(json.dumps(report, indent=1) if options.json else show(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
