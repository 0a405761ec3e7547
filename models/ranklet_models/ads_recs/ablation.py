"""What each part of the policy costs and what it buys, on held-out simulated sessions.

    python -m ranklet_models.ads_recs.ablation [--json] [--accounts N] [--null-seeds N]

Every order is that of `ranklet rerank`: the server's, the model without the session, with it, with the whole policy, and
with one part of the policy left out at a time. An order is judged by what people would have accepted: the simulator's
own probabilities over the first five cards, and NDCG@10 of the labels. The price of a part is the whole policy's loss
against the policy without that part; beside it stands the property that the part is there for, with and without it.
Cards that a person had hidden are left out of every order alike. Intervals are 95 %, by resampling accounts.
"""

import argparse
import json
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import metrics, native, trees
from ..simulator import logs
from ..simulator.logs import World
from ..spec import columns
from ..tables import span, table
from .dataset import HOME, OUT, SPEC, build
from .train import TRAIN, fit

HELD_OUT = 13  # the seed of evaluate.py's people
NULL_TRAIN, NULL_TEST = 400, 300  # accounts of each null world
NULL_SEED = 2_000
SCREEN = 5  # cards whose acceptance is counted
SPENDING = ("raise_budget", "raise_bid")
SAVING = ("lower_bid", "pause_campaign")

# One line of the spec's [policy] a part. Numbers are those of a cautious first release, not tuned on these people.
PARTS = {
    "diversity": 'diversity = { method = "mmr", strength = 0.8, first = 8, similarity = { features = ["topic"] } }',
    "caps": "caps = [{ most = 2, first = 5 }]",
    "spacing": "spacing = { apart = 1, first = 6 }",
    "conflicts": f"conflicts = [{{ types = {json.dumps(SPENDING + SAVING)}, first = 10 }}]",
    "dependencies": 'dependencies = [{ before = "fix_conversion_tag", then = "enable_auto_bidding" }]',
    "cooldown": 'cooldowns = [{ event = "open", lasts = "10m", first = 1 }]',
    "fatigue": "fatigue = { impressions = 2, first = 3 }",
    "displacement": "displacement = 12",
    "exploration": 'explore = { method = "plackett_luce", strength = 0.25, first = 5 }',
}
COOLING = 600_000  # ms, as long
GUARDRAIL = "spend guardrail"  # always on; left out by requests that do not say what a candidate spends


@dataclass
class Shown:
    """One decision as it was put before somebody: the cards that were not hidden, in final order."""

    account: str
    candidates: list[dict]  # of the request, in the same order
    labels: np.ndarray
    truth: np.ndarray
    tired: list[int]  # sightings of each card in this session without an answer
    cooling: list[bool]  # whether each card was opened within the last ten minutes
    log_propensity: float


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def spec_with(parts: dict[str, str], model: Path | None = None) -> str:
    """The committed specification with these lines in its policy, and another model if one is named."""
    text = SPEC.read_text()
    if "[policy]\n" not in text:
        raise RuntimeError("spec.toml has no [policy] any more: where do the policy's lines go?")
    text = text.replace("[policy]\n", "\n".join(["[policy]", *parts.values(), ""]), 1)
    if model is not None:
        lines = [line for line in text.splitlines() if not line.startswith("golden = ")]
        text = "\n".join(lines).replace('onnx = "ranker.onnx"', f"onnx = {json.dumps(str(model))}", 1)
    return text.replace('onnx = "calibrator.onnx"', f"onnx = {json.dumps(str(HOME / 'calibrator.onnx'))}").replace(
        'onnx = "ranker.onnx"', f"onnx = {json.dumps(str(HOME / 'ranker.onnx'))}"
    ).replace('golden = "golden.safetensors"', f"golden = {json.dumps(str(HOME / 'golden.safetensors'))}")


class People:
    """Held-out requests, their events, and what people would have done."""

    def __init__(self, world: World, name: str):
        self.folder = OUT / name
        log = logs.write(world, self.folder)
        self.events = log.events
        self.requests = [self.completed(json.loads(line)) for line in log.requests.open()]
        self.answers = [json.loads(line) for line in log.labels.open()]
        self.seen, self.opened = self.history()

    @staticmethod
    def completed(request: dict) -> dict:
        """The request with a seed, targets, and a cautious lower bound of what each candidate brings."""
        for candidate in request["candidates"]:
            candidate["target"] = candidate["key"].partition(":")[2]
            candidate["benefit_lower"] = round(candidate["features"].get("uplift", 0.0) - 0.1, 4)
        return request | {"seed": 7}

    def history(self) -> tuple[list[Counter], list[set]]:
        """Per request, of the keys up to it: impressions that nothing answered, and which were opened just now."""
        events = defaultdict(list)
        for line in self.events.open():
            event = json.loads(line)
            events[event["session"]].append(event)
        counts, opened = [], []
        for request in self.requests:
            seen: Counter = Counter()
            cooling = set()
            for event in events[request["session"]]:
                if event["time"] > request["now"] or "key" not in event:
                    continue
                if event["type"] == "impression":
                    seen[event["key"]] += 1
                elif event["type"] in ("open", "accept"):
                    seen[event["key"]] = 0
                if event["type"] == "open" and event["time"] > request["now"] - COOLING:
                    cooling.add(event["key"])
            counts.append(seen)
            opened.append(cooling)
        return counts, opened

    def ranked(self, name: str, spec: str | None, spends: bool = True, context: bool = True) -> list[Shown]:
        """Every decision as the bundle of `spec` takes it; None is the server's order."""
        path = self.folder / f"{name}.requests.jsonl"
        with path.open("w") as out:
            for request in self.requests:
                if not spends:
                    kept = [{k: v for k, v in c.items() if k != "spend_effect"} for c in request["candidates"]]
                    request = request | {"candidates": kept}
                out.write(json.dumps(request) + "\n")
        if spec is None:
            return [self.shown(j, None) for j in range(len(self.requests))]
        source = self.folder / f"{name}.toml"
        source.write_text(spec)
        bundle = native.compile_bundle(source, self.folder / f"{name}.ranklet")
        more = ["--events", self.events] if context else []
        records = native.run("rerank", bundle, "--request", path, *more, "--json").splitlines()
        path.unlink()
        return [self.shown(j, json.loads(line)) for j, line in enumerate(records)]

    def shown(self, j: int, record: dict | None) -> Shown:
        request, answer = self.requests[j], self.answers[j]
        if record is not None and record["source"] != "model":
            raise RuntimeError(f"{request['decision_id']}: {record['reason']}")
        rows = [i["server_rank"] - 1 for i in record["items"]] if record else list(range(len(request["candidates"])))
        keep = [(k, row) for k, row in enumerate(rows) if answer["labels"][row] is not None]
        candidates = [request["candidates"][row] | {"row": row} for _, row in keep]
        return Shown(
            answer["account"],
            candidates,
            np.array([answer["labels"][row] for _, row in keep], float),
            np.array([answer["truth"][row] for _, row in keep]),
            [self.seen[j][c["key"]] for c in candidates],
            [c["key"] in self.opened[j] for c in candidates],
            sum(i["log_propensity"] for i in record["items"]) if record else 0.0,
        )


def expected(s: Shown) -> float:
    """Acceptances that the first screen can expect."""
    return float(s.truth[:SCREEN].sum())


def ndcg(s: Shown) -> float:
    return metrics.ndcg(s.labels, 10)


# What a part is there for: a name, and a number of each decision whose mean is printed.


def topics(s: Shown) -> float:
    return len({c["features"]["topic"] for c in s.candidates[:SCREEN]})


def crowded(s: Shown) -> float:
    return float(max(Counter(c["type"] for c in s.candidates[:5]).values(), default=0) > 2)


def adjacent(s: Shown) -> float:
    kinds = [c["type"] for c in s.candidates[:6]]
    return float(any(a == b for a, b in zip(kinds, kinds[1:])))


def contradicting(s: Shown) -> float:
    kinds = defaultdict(set)
    for c in s.candidates[:10]:
        if c["type"] in SPENDING + SAVING:
            kinds[c["target"]].add(c["type"])
    return float(any(len(k) > 1 for k in kinds.values()))


def unprepared(s: Shown) -> float:
    place = {c["key"]: k for k, c in enumerate(s.candidates)}
    pairs = ((f"fix_conversion_tag:{c['target']}", k) for k, c in enumerate(s.candidates) if c["type"] == "enable_auto_bidding")
    return float(any(place.get(first, -1) > k for first, k in pairs))


def just_opened(s: Shown) -> float:
    return float(any(s.cooling[:1]))


def tiring(s: Shown) -> float:
    return float(any(n >= 2 for n in s.tired[:3]))


def furthest(s: Shown) -> float:
    servers = np.argsort(np.argsort([c["row"] for c in s.candidates]))
    return float(np.abs(servers - np.arange(len(servers))).max(initial=0))


def surprise(s: Shown) -> float:
    return -s.log_propensity


def lifted(s: Shown) -> float:
    """Candidates that raise spend without a proven benefit and stand above their server rank."""
    servers = np.argsort(np.argsort([c["row"] for c in s.candidates]))
    unproven = [c.get("spend_effect", 0) > 0 and c["benefit_lower"] <= 0 for c in s.candidates]
    return float(sum(u and k < r for k, (u, r) in enumerate(zip(unproven, servers))))


PROPERTIES: dict[str, tuple[str, Callable[[Shown], float]]] = {
    "diversity": ("topics in the first 5", topics),
    "caps": ("lists with 3 of a type in the first 5", crowded),
    "spacing": ("lists with equal neighbours in the first 6", adjacent),
    "conflicts": ("lists that contradict themselves in the first 10", contradicting),
    "dependencies": ("lists that bid before they measure", unprepared),
    "cooldown": ("lists that begin with a card just opened", just_opened),
    "fatigue": ("lists with a card in the first 3 ignored twice", tiring),
    "displacement": ("furthest from the server's rank", furthest),
    "exploration": ("nats of choice a list", surprise),
    GUARDRAIL: ("unproven spenders lifted a list", lifted),
}


class Compared:
    """Means of a measure over decisions, and differences between two orders of them."""

    def __init__(self, accounts: list[str]):
        self.accounts = np.unique(accounts, return_inverse=True)[1]

    def mean(self, orders: list[Shown], of: Callable[[Shown], float]) -> dict:
        return dict(zip(("mean", "low", "high"), metrics.interval(np.array([of(s) for s in orders]), self.accounts)))

    def difference(self, a: list[Shown], b: list[Shown], of: Callable[[Shown], float]) -> dict:
        gain = np.array([of(x) - of(y) for x, y in zip(a, b)])
        return dict(zip(("mean", "low", "high"), metrics.interval(gain, self.accounts)))


def write_model(booster: trees.lightgbm.Booster, path: Path) -> Path:
    path.write_bytes(trees.to_onnx(booster, len(columns(SPEC))).SerializeToString())
    return path


def null_world(seed: int) -> dict:
    """Both models trained where the session carries nothing; the gain of context under the whole policy but its chance."""
    train = build(World(seed, NULL_TRAIN, True), "null-train")
    people = People(World(seed + 500, NULL_TEST, True), "null-test")
    ours = write_model(fit(train, True), people.folder / "with.onnx")
    theirs = write_model(fit(train, False), people.folder / "without.onnx")
    parts = {k: v for k, v in PARTS.items() if k != "exploration"}
    a, b = (people.ranked(name, spec_with(parts, model)) for name, model in (("with", ours), ("without", theirs)))
    gain = Compared([s.account for s in a]).difference(a, b, expected)
    shutil.rmtree(people.folder)
    return {"seed": seed, **gain, "covers_zero": gain["low"] <= 0 <= gain["high"]}


def ablate(accounts: int, null_seeds: int) -> dict:
    """The whole report as one JSON value."""
    began = time.monotonic()
    OUT.mkdir(exist_ok=True)
    people = People(World(HELD_OUT, accounts), "ablation")
    say(f"{len(people.requests)} requests of {accounts} accounts, {time.monotonic() - began:.0f} s")
    blind = write_model(fit(build(TRAIN, "train"), False), people.folder / "blind.onnx")
    orders = {
        "server": people.ranked("server", None),
        "model without context": people.ranked("blind", spec_with({}, blind), context=False),
        "model with context": people.ranked("with", spec_with({})),
        "and the whole policy": people.ranked("whole", spec_with(PARTS)),
    }
    say(f"ranked, {time.monotonic() - began:.0f} s")
    without = {}
    for part in PARTS:
        without[part] = people.ranked("part", spec_with({k: v for k, v in PARTS.items() if k != part}))
        say(f"without {part}, {time.monotonic() - began:.0f} s")
    without[GUARDRAIL] = people.ranked("part", spec_with(PARTS), spends=False)
    whole = orders["and the whole policy"]
    compared = Compared([s.account for s in whole])
    report: dict = {"accounts": accounts, "lists": len(whole), "orders": {}, "parts": {}, "null_worlds": []}
    for name, shown in orders.items():
        report["orders"][name] = {
            "expected": compared.mean(shown, expected),
            "gain": compared.difference(shown, orders["server"], expected),
            "ndcg@10": compared.mean(shown, ndcg),
        }
    report["context"] = compared.difference(orders["model with context"], orders["model without context"], expected)
    for part, shown in without.items():
        named, of = PROPERTIES[part]
        report["parts"][part] = {
            "price": compared.difference(shown, whole, expected),
            "property": named,
            "without": compared.mean(shown, of),
            "with": compared.mean(whole, of),
        }
    shutil.rmtree(people.folder)
    for k in range(null_seeds):
        report["null_worlds"].append(null_world(NULL_SEED + k))
        say(f"null world {k + 1} of {null_seeds}, {time.monotonic() - began:.0f} s")
    report["null_covering"] = sum(w["covers_zero"] for w in report["null_worlds"])
    report["seconds"] = round(time.monotonic() - began, 1)
    return report


def show(report: dict) -> str:
    """The report for a terminal."""

    def of(interval: dict, signed: bool = False) -> str:
        return f"{interval['mean']:{'+' if signed else ''}.4f} {span(interval['low'], interval['high'], signed)}"

    rows = []
    for name, o in report["orders"].items():
        gain = "" if name == "server" else of(o["gain"], True)
        rows.append([name, of(o["expected"]), gain, f"{o['ndcg@10']['mean']:.4f}"])
    text = [
        table(
            f"Orders of {report['lists']:,} held-out lists: acceptances that the first {SCREEN} cards can expect",
            ["order", "expected", "gain over the server", "NDCG@10"],
            rows,
            [f"gain of context: {of(report['context'], True)}"],
        ),
        table(
            "Each part left out of the whole policy: its price in expected acceptances, and what it is there for",
            ["part", "price", "without it", "with it", "of"],
            [
                [part, of(p["price"], True), f"{p['without']['mean']:.3f}", f"{p['with']['mean']:.3f}", p["property"]]
                for part, p in report["parts"].items()
            ],
            ["a price above 0: the list would gain so much without the part"],
        ),
    ]
    worlds = report["null_worlds"]
    if worlds:
        text.append(
            table(
                "Null worlds: the session carries nothing; gain of context under the whole policy",
                ["seed", "gain", "covers 0"],
                [[w["seed"], of(w, True), "yes" if w["covers_zero"] else "no"] for w in worlds],
                [f"{report['null_covering']} of {len(worlds)} intervals cover 0"],
            )
        )
    return "\n\n".join([*text, f"{report['seconds']} s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--accounts", type=int, default=600, help="held-out accounts (default 600, about 2,400 lists)")
    parser.add_argument("--null-seeds", type=int, default=5, help="null worlds to train in (default 5)")
    options = parser.parse_args()
    report = ablate(options.accounts, options.null_seeds)
    print(json.dumps(report, indent=1) if options.json else show(report))


if __name__ == "__main__":
    main()
