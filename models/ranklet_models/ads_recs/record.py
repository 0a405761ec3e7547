"""Write the recorded requests and events that the demo and the tests read.

    python -m ranklet_models.ads_recs.record          # models/ads-recs/requests/NN.json and events/NN.jsonl
    python -m ranklet_models.ads_recs.record --look   # sessions to choose from, as the compiled model orders them

They come from a world of their own; which sessions, is chosen by eye and listed here. Nothing is edited by hand.
"""

import argparse
import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from .. import native
from ..simulator import logs
from ..simulator.catalogue import SURFACES, TOPICS
from ..simulator.people import Session
from ..simulator.world import Account
from .dataset import HOME, OUT, SPEC

WORLD = logs.World(seed=21, accounts=60)


@dataclass(frozen=True)
class Pick:
    """One recorded request: which decision of which session, and how many candidates of it are kept."""

    session: str
    decision: int
    length: int


PICKS = (
    Pick("w21-a45-p0", 1, 12),  # the demo's: keywords are searched, edited and opened, spend is dismissed
    Pick("w21-a12-p0", 0, 24),  # on the assistant, two snoozes
    Pick("w21-a38-p1", 1, 24),  # on the sales console, an edit undone
    Pick("w21-a41-p1", 0, 40),  # a snooze, three accepts
    Pick("w21-a28-p1", 2, 40),  # a dismissal undone
)


def recording(account: Account, scores, name: str, session: Session, pick: Pick) -> tuple[dict, list[dict]]:
    """The request and the events up to it."""
    decision = session.decisions[pick.decision]
    request = logs.request(account, scores, decision, name, f"{name}-d{pick.decision}")
    request["candidates"] = request["candidates"][: pick.length]
    return request, [e for e in session.events if e["time"] <= decision.now]


def write(number: int, request: dict, events: list[dict]) -> tuple[Path, Path]:
    """requests/NN.json and events/NN.jsonl."""
    paths = HOME / "requests" / f"{number:02}.json", HOME / "events" / f"{number:02}.jsonl"
    for path in paths:
        path.parent.mkdir(exist_ok=True)
    paths[0].write_text(json.dumps(request, indent=1) + "\n")
    paths[1].write_text("".join(json.dumps(e) + "\n" for e in events))
    return paths


def look(length: int, surface: str, count: int) -> None:
    """Print sessions on one surface with the order before and after their events."""
    OUT.mkdir(exist_ok=True)
    bundle = native.compile_bundle(SPEC, OUT / "ads-recs.ranklet")
    seen = 0
    for account, scores, name, session in logs.simulate(WORLD):
        for k, decision in enumerate(session.decisions):
            if SURFACES[decision.surface] != surface or seen == count:
                continue
            seen += 1
            request, events = recording(account, scores, name, session, Pick(name, k, length))
            one, acts = OUT / "look.json", OUT / "look.jsonl"
            one.write_text(json.dumps(request))
            acts.write_text("".join(json.dumps(e) + "\n" for e in events))
            orders = []
            for more in ([], ["--events", acts]):
                record = json.loads(native.run("rerank", bundle, "--request", one, *more, "--json"))
                orders.append({i["id"]: i for i in record["items"]})
            topic = (*TOPICS, "browsing")[decision.intent]
            kinds = [e["type"] for e in events if e["type"] != "impression" and e["time"] > decision.now - 3_600_000]
            print(f"\n{name} decision {k}: intent {topic}; {' '.join(kinds)}")
            for c, truth in zip(request["candidates"], decision.truth):
                before, after = (o[c["id"]] for o in orders)
                print(
                    f"  {before['server_rank']:3} {before['rank']:3} {after['rank']:3}"
                    f"  {before['score']:.4f} {after['score']:.4f}  true {truth:.4f}"
                    f"  {after['suppressed'] or '':9}  {c['features']['title']}"
                )
            for e in events:
                if e["type"] != "impression" and e["time"] > decision.now - 3_600_000:
                    what = e.get("key") or e.get("field") or e.get("value") or e["surface"]
                    print(f"      {(e['time'] - decision.now) / 1000:7.0f} s  {e['type']:8} {what} {e.get('reason', '')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look", action="store_true", help="print sessions to choose from")
    parser.add_argument("--surface", default="ads_manager", choices=SURFACES)
    parser.add_argument("--length", type=int, default=12)
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args()
    if options.look:
        look(options.length, options.surface, options.count)
        return
    wanted = {p.session: (n, p) for n, p in enumerate(PICKS, 1)}
    for account, scores, name, session in islice(logs.simulate(WORLD), WORLD.accounts * logs.SESSIONS_PER_ACCOUNT):
        if name in wanted:
            number, pick = wanted[name]
            request, events = recording(account, scores, name, session, pick)
            print(*write(number, request, events), f"{len(request['candidates'])} candidates, {len(events)} events")


if __name__ == "__main__":
    main()
