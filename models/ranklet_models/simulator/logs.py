"""Simulate a world and write it down: requests, events, and (apart from both) the labels.

    python -m ranklet_models.simulator.logs FOLDER [--seed N] [--accounts N] [--null]

    requests.jsonl  one request a line, as a page would send it
    events.jsonl    one event a line, joined to requests by `session`
    labels.jsonl    {decision_id, account, session, labels: [0, 1 or null], truth: [probability]}; null where the
                    person had hidden the card, so that it was not shown
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import server, world
from .catalogue import SURFACES
from .people import Decision, live

SESSIONS_PER_ACCOUNT = 2


@dataclass(frozen=True)
class World:
    """What is simulated: seed, number of accounts, and whether the sessions carry nothing."""

    seed: int
    accounts: int
    null: bool = False


@dataclass
class Log:
    """Where the files lie."""

    requests: Path
    events: Path
    labels: Path


def request(account: world.Account, scores: np.ndarray, decision: Decision, session: str, name: str) -> dict:
    """One decision as the request that the page would send."""
    candidates = []
    for position, k in enumerate(decision.rows):
        known = account.candidates[k]
        candidate = {
            "id": f"r{position + 1}",
            "key": known["key"],
            "type": known["type"],
            "server_score": round(float(scores[decision.surface, k]), 6),
            "features": known["features"],
        }
        if "cost" in known["features"]:
            candidate["spend_effect"] = known["features"]["cost"]
        candidates.append(candidate)
    return {
        "decision_id": name,
        "session": session,
        "surface": SURFACES[decision.surface],
        "now": decision.now,
        "candidates": candidates,
        "facts": account.facts,
    }


def simulate(w: World):
    """Yield (account, scores, session name, session) in a fixed order; each account has its own random stream."""
    for i in range(w.accounts):
        rng = np.random.default_rng([w.seed, int(w.null), i])
        start = world.EPOCH + int(rng.uniform(5, 56) * world.DAY)
        account = world.account(rng, f"w{w.seed}-a{i}", start)
        scores = server.rank(account.offer)
        for j in range(SESSIONS_PER_ACCOUNT):
            name = f"{account.name}-p{j}"
            yield account, scores, name, live(rng, account.offer, name, start + int(rng.uniform(0, 12) * 3_600_000), w.null)


def write(w: World, folder: Path) -> Log:
    """Simulate `w` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = Log(folder / "requests.jsonl", folder / "events.jsonl", folder / "labels.jsonl")
    line = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
    with log.requests.open("w") as requests, log.events.open("w") as events, log.labels.open("w") as labels:
        for account, scores, name, session in simulate(w):
            for event in session.events:
                events.write(line(event) + "\n")
            for j, d in enumerate(session.decisions):
                decision = f"{name}-d{j}"
                requests.write(line(request(account, scores, d, name, decision)) + "\n")
                shown = [None if hidden else label for hidden, label in zip(d.hidden, d.labels)]
                truth = {"decision_id": decision, "account": account.name, "session": name, "labels": shown, "truth": d.truth}
                labels.write(line(truth) + "\n")
    return log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=300, help="about four requests each (default 300)")
    parser.add_argument("--null", action="store_true", help="a world whose sessions carry nothing")
    options = parser.parse_args()
    log = write(World(options.seed, options.accounts, options.null), options.folder)
    print(*(p for p in (log.requests, log.events, log.labels)), sep="\n")


if __name__ == "__main__":
    main()
