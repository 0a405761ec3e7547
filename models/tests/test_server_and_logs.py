"""The server's score averages the hidden state out, and the logs have the design's formats."""

import json

import numpy as np
import pytest

from ranklet_models.simulator import logs, people, server, world
from ranklet_models.simulator.catalogue import SURFACES, TYPE_NAMES

EVENT_KEYS = {"id", "session", "type", "candidate", "key", "candidate_type", "surface", "time", "value", "reason", "field"}
CANDIDATE_KEYS = {"id", "key", "type", "server_score", "value", "boost", "spend_effect", "benefit_lower", "features"}
FACTS = {"account", "campaign", "performance", "market", "workflow"}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return logs.write(logs.World(seed=5, accounts=40), tmp_path_factory.mktemp("log"))


def lines(path):
    return [json.loads(line) for line in path.open()]


def test_server_score_is_the_mean_over_people():
    rng = np.random.default_rng(2)
    account = world.account(rng, "a", world.EPOCH)
    expected = server.score(account.offer)[0]
    drawn = np.zeros_like(expected)
    for _ in range(4000):
        mind = people.Mind(rng, account.offer, world.EPOCH)
        mind.arrive(world.EPOCH)
        drawn += people.sigmoid(mind.logits(0)) / 4000
    assert np.abs(drawn - expected).max() < 0.02
    assert abs(drawn.mean() - expected.mean()) < 0.002


def test_two_runs_write_the_same_bytes(tmp_path, log):
    again = logs.write(logs.World(seed=5, accounts=40), tmp_path)
    for one, two in ((log.requests, again.requests), (log.events, again.events), (log.labels, again.labels)):
        assert one.read_bytes() == two.read_bytes()


def test_requests_have_the_format_and_no_label(log):
    for request in lines(log.requests):
        assert set(request) == {"decision_id", "session", "surface", "now", "candidates", "facts"}
        assert request["surface"] in SURFACES and isinstance(request["now"], int) and set(request["facts"]) == FACTS
        assert len({c["id"] for c in request["candidates"]}) == len(request["candidates"]) <= 40
        scores = [c["server_score"] for c in request["candidates"]]
        assert scores == sorted(scores, reverse=True)
        for c in request["candidates"]:
            assert set(c) <= CANDIDATE_KEYS and c["key"].split(":")[0] == c["type"] in TYPE_NAMES
            assert not {"label", "truth", "intent", "need"} & (set(c) | set(c["features"]))


def test_events_have_the_format(log):
    sessions = {r["session"] for r in lines(log.requests)}
    for event in lines(log.events):
        assert set(event) <= EVENT_KEYS and event["session"] in sessions and isinstance(event["time"], int)
        if event["type"] in ("impression", "open", "accept", "dismiss", "snooze", "dwell"):
            assert event["candidate_type"] in TYPE_NAMES and event["key"].startswith(event["candidate_type"] + ":")
        if event["type"] == "edit":
            assert "@" in event["field"]


def test_labels_lie_apart_and_match(log):
    for request, label in zip(lines(log.requests), lines(log.labels), strict=True):
        assert request["decision_id"] == label["decision_id"]
        assert len(request["candidates"]) == len(label["labels"]) == len(label["truth"])
        assert set(label["labels"]) <= {0, 1, None}
