"""Train and measure the movielens re-ranker, the lists re-ranked by the runtime's wasm in Node.

    python -m ranklet_models.movielens.run [--json]

Reads RANKLET_DATA (default ../shared/data). Everything is written below models/movielens/out and nothing of it is
committed. Exit code 77: the data are not there, so this was skipped.
"""

import argparse
import json
import shutil
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
from .orders import TIE, against_onnxruntime, in_node, ndcg_of, ordered, per_request
from .requests import CANDIDATES, Server, Snapshot, Stage, write_server_requests, write_stage

OUT = REPOSITORY / "models" / "movielens" / "out"
HERE = Path(__file__).parent
SHAPES = tuple(trees.Shape(120, leaves, rate, 100) for leaves in (7, 15) for rate in (0.03, 0.06))
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
        return per_request(values, self.matrix["request"])


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
    schema = native.schema_of(OUT / "server-train.safetensors")
    (OUT / "server.onnx").write_bytes(trees.to_onnx(trees.train(x, y, shape), x.shape[1], schema).SerializeToString())
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


@dataclass
class Stages:
    """Both parts on disk for the re-ranker, and where the split lies."""

    fit: Stage
    held: Stage
    split: dict


def first_stage() -> Stages:
    """Train the server, and write its lists of both parts for the re-ranker."""
    movies, ratings = data.load(data.folder())
    spec_file("server")
    start, until = (int(t) for t in np.quantile(ratings.time, (data.TRAIN_FROM, data.TEST_FROM)))
    train = server_part(movies, ratings, (start, until), start, "train")
    test = server_part(movies, ratings, (until, int(ratings.time[-1]) + 1), until, "test")
    shape = tune(train.matrix["X"], server_labels(train))
    fit = write_stage(train.server, train.snapshots, crossed_scores(train, shape), OUT / "fit")
    held = write_stage(test.server, test.snapshots, server_scores(test, train_server(train, shape)), OUT / "held")
    return Stages(fit, held, {"train_from": start, "test_from": until, "train_requests": len(fit.users)})


def train_rerankers(fit: Stage, spec: Path) -> dict[str, trees.lightgbm.Booster]:
    """The re-ranker with the session, without it, and with other people's sessions."""
    own = native.featurize(spec, fit.requests, fit.events, OUT / "fit.safetensors")["X"]
    foreign = native.featurize(spec, fit.requests, fit.control, OUT / "fit-control.safetensors")["X"]
    label = np.concatenate(fit.gains).astype(int)
    matrices = {"session": own, "no-session": without_context(own, columns(spec)), "foreign": foreign}
    return {name: trees.train(x, label, tune(x, label)) for name, x in matrices.items()}


def gains(values: dict[str, np.ndarray], users: np.ndarray) -> dict:
    """Each order's NDCG@10 and its gain over the server's, with intervals by user."""
    report = {}
    for name, v in values.items():
        mean, low, high = metrics.interval(v, users)
        gain, gain_low, gain_high = metrics.interval(v - values["server"], users)
        report[name] = {"ndcg@10": mean, "interval": [low, high], "gain": gain, "gain_interval": [gain_low, gain_high]}
    return report


def second_stage(stages: Stages, models: dict[str, trees.lightgbm.Booster], spec: Path) -> dict:
    """Re-rank the held-out lists by the wasm in Node, and measure every order."""
    held, names = stages.held, columns(spec)
    schema = native.schema_of(OUT / "fit.safetensors")
    exported = {k: trees.to_onnx(b, len(names), schema).SerializeToString() for k, b in models.items()}
    bundles = {}
    for name, content in exported.items():
        (OUT / "rerank.onnx").write_bytes(content)
        bundles[name] = native.compile_bundle(spec, OUT / f"{name}.ranklet")
    answers, node = in_node(bundles["session"], held, held.events, OUT / "reranked.jsonl")
    control, _ = in_node(bundles["session"], held, held.control, OUT / "control.jsonl")
    foreign, _ = in_node(bundles["foreign"], held, held.control, OUT / "foreign.jsonl")
    matrix = native.featurize(spec, held.requests, held.events, OUT / "held.safetensors")
    blank = without_context(matrix["X"], names)
    blind = native.score(bundles["no-session"], {"X": blank}, OUT / "blind")["probabilities"][:, 1]
    values = {
        "popularity": ndcg_of(held.popularity, held.targets),
        "server": ndcg_of(held.gains, held.targets),
        "second stage without session": ordered(held, by_score(blind, matrix["request"])),
        "re-ranked with the session": ordered(held, [a["order"] for a in answers]),
        "control: another's session": ordered(held, [a["order"] for a in control]),
        "control, trained on others'": ordered(held, [a["order"] for a in foreign]),
    }

    def over_blind(name: str) -> dict:
        difference = values[name] - values["second stage without session"]
        return dict(zip(("gain", "low", "high"), metrics.interval(difference, held.users)))

    return {
        "orders": gains(values, held.users),
        "target_share": float(sum(g.sum() for g in held.gains) / held.targets.sum()),
        "session_gain": over_blind("re-ranked with the session"),
        "control_gain": over_blind("control, trained on others'"),
        "onnxruntime": against_onnxruntime(exported["session"], matrix["X"], matrix["request"], answers, held),
        "node": node,
        "importance": trees.importance(models["session"], names)[:12],
    }


def by_score(score: np.ndarray, request: np.ndarray) -> list[np.ndarray]:
    """Candidate indexes of each request, best score first, ties in server order."""
    return [np.argsort(-s, kind="stable") for s in per_request(score, request)]


def run() -> dict:
    """The whole report as one JSON value."""
    began = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    stages = first_stage()
    say(f"server trained, {time.monotonic() - began:.0f} s")
    spec = spec_file("rerank")
    models = train_rerankers(stages.fit, spec)
    say(f"re-rankers trained, {time.monotonic() - began:.0f} s")
    users = stages.held.users
    report = {"users": int(len(np.unique(users))), "requests": len(users), "candidates": CANDIDATES, "split": stages.split}
    report |= second_stage(stages, models, spec)
    report["seconds"] = round(time.monotonic() - began, 1)
    shutil.rmtree(OUT)  # nothing of the data stays behind
    return report


def show(report: dict) -> str:
    """The report for a terminal."""
    rows = []
    for name, o in report["orders"].items():
        gain = "" if name == "server" else f"{o['gain']:+.4f} {span(*o['gain_interval'], signed=True)}"
        rows.append([name, f"{o['ndcg@10']:.4f} {span(*o['interval'])}", gain])
    g, c, ort = report["session_gain"], report["control_gain"], report["onnxruntime"]
    notes = [
        f"{report['target_share']:.1%} of the targets are among the server's {report['candidates']} candidates",
        f"gain of the session over the second stage without it: {g['gain']:+.4f} {span(g['low'], g['high'], signed=True)}",
        f"the same, trained and fed on other people's sessions: {c['gain']:+.4f} {span(c['low'], c['high'], signed=True)}",
        f"ONNX Runtime: NDCG@10 {ort['ndcg']:.6f}, wasm {ort['wasm_ndcg']:.6f}; {ort['flips']} flips,"
        f" {ort['flips_within_tie']} within {TIE:g}; largest difference of scores {ort['largest_difference']:.1e}",
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
