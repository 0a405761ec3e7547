"""The ablation's orders and properties, on a world of a few accounts."""

import numpy as np
import pytest

from ranklet_models import native
from ranklet_models.ads_recs import ablation
from ranklet_models.ads_recs.ablation import PARTS, PROPERTIES, People, Shown, spec_with
from ranklet_models.simulator.logs import World
from ranklet_models.spec import tomllib


def shown(cards: list[tuple[str, str, str]], rows: list[int] | None = None, **more) -> Shown:
    """Cards as (type, target, topic), in final order."""
    rows = rows or list(range(len(cards)))
    candidates = [
        {"key": f"{t}:{target}", "type": t, "target": target, "features": {"topic": topic}, "row": row, "benefit_lower": -1.0}
        for (t, target, topic), row in zip(cards, rows)
    ]
    zeros = np.zeros(len(cards))
    return Shown("a", candidates, zeros, zeros, [0] * len(cards), [False] * len(cards), more.get("log_propensity", 0.0))


def of(part: str, decision: Shown) -> float:
    return PROPERTIES[part][1](decision)


def test_every_part_has_a_line_in_the_policy_and_a_property():
    policy = tomllib.loads(spec_with(PARTS))["policy"]
    assert len(policy) - len(tomllib.loads(spec_with({}))["policy"]) == len(PARTS)
    assert set(PROPERTIES) == {*PARTS, ablation.GUARDRAIL}


def test_properties_by_hand():
    raise_, lower = ("raise_budget", "c1", "budget"), ("lower_bid", "c1", "bidding")
    assert of("diversity", shown([raise_, raise_, lower])) == 2
    assert [of("caps", shown([raise_] * n)) for n in (2, 3)] == [0, 1]
    assert [of("spacing", shown(c)) for c in ([raise_, lower], [raise_, raise_])] == [0, 1]
    other = ("lower_bid", "c2", "bidding")
    assert [of("conflicts", shown(c)) for c in ([raise_, other], [raise_, lower])] == [0, 1]
    bid, tag = ("enable_auto_bidding", "c1", "bidding"), ("fix_conversion_tag", "c1", "measurement")
    assert [of("dependencies", shown(c)) for c in ([tag, bid], [bid, tag], [bid])] == [0, 1, 0]
    assert of("displacement", shown([raise_, lower, bid], rows=[5, 1, 3])) == 2
    opened = shown([raise_, other, lower, bid])
    for place, found in ((1, 0), (0, 1)):
        opened.cooling[place] = True
        assert of("cooldown", opened) == found
    assert of("exploration", shown([raise_], log_propensity=-1.5)) == 1.5
    lifted = shown([raise_, lower], rows=[1, 0])
    lifted.candidates[0]["spend_effect"] = 3.0
    assert of(ablation.GUARDRAIL, lifted) == 1


def test_the_whole_policy_ranks_and_keeps_what_it_promises(tmp_path, monkeypatch):
    try:
        native.binary()
    except native.Missing as missing:
        pytest.skip(str(missing))
    monkeypatch.setattr(ablation, "OUT", tmp_path)
    people = People(World(13, 6), "few")
    free, whole = people.ranked("free", spec_with({})), people.ranked("whole", spec_with(PARTS))
    assert len(free) == len(whole) == len(people.requests) > 10
    assert all(s.log_propensity == 0 for s in free) and any(s.log_propensity < 0 for s in whole)
    assert np.mean([of("diversity", s) for s in whole]) > np.mean([of("diversity", s) for s in free])
    assert sum(of("cooldown", s) for s in whole) < sum(of("cooldown", s) for s in free)
    # Hidden cards are taken out afterwards, so that two of a type may meet.
    assert sum(of("spacing", s) for s in whole) < sum(of("spacing", s) for s in free)
