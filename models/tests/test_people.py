"""The simulator's people: the same seed gives the same session, and a null world's events carry nothing."""

import numpy as np

from ranklet_models.simulator import people, world


def sessions(count: int, null: bool, seed: int = 3):
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        account = world.account(rng, f"a{i}", world.EPOCH)
        yield account, people.live(rng, account.offer, f"s{i}", world.EPOCH + world.DAY, null)


def test_same_seed_same_session():
    one = [(a.facts, s.events, s.decisions) for a, s in sessions(5, False)]
    two = [(a.facts, s.events, s.decisions) for a, s in sessions(5, False)]
    assert one == two
    assert one != [(a.facts, s.events, s.decisions) for a, s in sessions(5, False, seed=4)]


def test_every_event_type_occurs_in_order_and_before_the_end():
    seen = set()
    for _, session in sessions(60, False):
        times = [e["time"] for e in session.events]
        assert times == sorted(times)
        assert len({e["id"] for e in session.events}) == len(session.events)
        seen |= {e["type"] for e in session.events}
    assert seen == {"impression", "open", "accept", "dismiss", "snooze", "dwell", "undo", "edit", "navigate", "search"}


def opened_topics_lift(null: bool) -> tuple[float, float]:
    """Mean true probability on the last opened card's topic, minus off it, at each decision; and its standard error."""
    gaps = []
    for account, session in sessions(250, null):
        topic_of = dict(zip(account.offer.keys, account.offer.topic_of))
        for decision in session.decisions:
            opened = [e for e in session.events if e["type"] == "open" and e["time"] <= decision.now]
            rows = np.array(decision.rows)
            on = account.offer.topic_of[rows] == (topic_of[opened[-1]["key"]] if opened else -1)
            if on.any() and not on.all():
                # needs differ between topics whatever the session says: compare with the server's knowledge taken out
                known = account.offer.need[decision.surface][rows]
                odds = np.log(np.array(decision.truth) / (1 - np.array(decision.truth))) - known
                gaps.append(odds[on].mean() - odds[~on].mean())
    return float(np.mean(gaps)), float(np.std(gaps) / np.sqrt(len(gaps)))


def test_events_tell_the_intent_in_the_informative_world_only():
    gap, error = opened_topics_lift(null=False)
    assert gap > 6 * error
    gap, error = opened_topics_lift(null=True)
    assert abs(gap) < 4 * error


def test_a_hidden_row_has_no_label_and_the_base_rate_is_plausible():
    truth = []
    for _, session in sessions(150, False):
        for d in session.decisions:
            assert not any(h and label for h, label in zip(d.hidden, d.labels))
            truth += d.truth
    assert 0.03 < np.mean(truth) < 0.10
