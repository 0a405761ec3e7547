"""movielens without its data: sessions, neighbours, requests and metrics on ratings made up here."""

import json

import numpy as np
import pytest

from ranklet_models.movielens import data, orders, requests, run
from ranklet_models.native import Missing
from ranklet_models.spec import columns


def made_up(users: int = 24, each: int = 40) -> tuple[data.Movies, data.Ratings]:
    rng = np.random.default_rng(8)
    n = 60
    movies = data.Movies([str(100 + i) for i in range(n)], ["Drama" if i % 2 else "Comedy" for i in range(n)], np.full(n, 1999.0))
    rows = []
    for user in range(users):
        start = 1_000_000 + user * 50_000
        for k, movie in enumerate(rng.permutation(n)[:each]):
            rows.append((start + (k // 2) * 20 + (4_000 if k >= each // 2 else 0), user, movie, float(rng.integers(1, 6))))
    time, user, movie, stars = (np.array(c) for c in zip(*sorted(rows)))
    return movies, data.Ratings(user, movie.astype(int), stars, time)


def test_a_moment_never_splits_a_second():
    _, ratings = made_up()
    found = data.sessions(ratings, 0, 10**9, 4, seed=1)
    assert found and found == sorted(found, key=lambda s: s.start)
    for s in found:
        time = ratings.time[s.rows]
        assert (np.diff(time) <= data.SESSION_GAP).all()
        for m in s.moments:
            assert time[m.upto - 1] == m.now < time[m.upto]
            assert len(m.targets) == (time == time[m.upto]).sum()


def test_neighbours_use_the_past_alone_and_are_symmetric():
    movies, ratings = made_up()
    cut = int(ratings.time[len(ratings.time) // 2])
    past = ratings.time < cut
    earlier = data.Ratings(ratings.user[past], ratings.movie[past], ratings.stars[past], ratings.time[past])
    for reach in (None, 5):
        got = data.neighbours(ratings, cut, len(movies.key), 59, reach)
        assert np.array_equal(got, data.neighbours(earlier, cut, len(movies.key), 59, reach))
        pairs = {(i, int(j)) for i, row in enumerate(got) for j in row if j >= 0}
        assert pairs and all((j, i) in pairs for i, j in pairs) and not any(i == j for i, j in pairs)


def test_stage_two_on_disk(tmp_path):
    movies, ratings = made_up()
    server = requests.Server(movies, ratings, int(np.quantile(ratings.time, 0.4)))
    found = data.sessions(ratings, int(np.quantile(ratings.time, 0.4)), 10**9, 4, seed=1)
    snapshots = list(server.snapshots(found))
    stage = requests.write_stage(server, snapshots, [np.linspace(1, 0, len(s.pool)) for s in snapshots], tmp_path)
    written = [json.loads(line) for line in stage.requests.open()]
    events = [json.loads(line) for line in stage.events.open()]
    control = [json.loads(line) for line in stage.control.open()]
    assert len(written) == len(stage.users) == len(stage.gains) == len(stage.targets)
    for request, gains in zip(written, stage.gains):
        mine = [e for e in events if e["session"] == request["session"]]
        strange = [e for e in control if e["session"] == request["session"]]
        assert len(request["candidates"]) == len(gains)
        assert max(e["time"] for e in mine) == max(e["time"] for e in strange) == request["now"]
        assert not {e["key"] for e in mine} & {c["id"] for c in request["candidates"]}
        assert [e["key"] for e in mine] != [e["key"] for e in strange]


def test_ndcg_counts_targets_that_are_no_candidates():
    assert orders.ndcg_of([np.array([0.0, 1.0]), np.array([1.0, 0.0])], np.array([1, 1])) == pytest.approx([1 / np.log2(3), 1.0])
    assert orders.ndcg_of([np.array([0.0, 0.0])], np.array([2])) == pytest.approx([0.0])
    assert orders.ndcg_of([np.array([1.0])], np.array([2])) == pytest.approx([1 / (1 + 1 / np.log2(3))])
    eleventh = np.eye(12)[10]
    assert orders.ndcg_of([eleventh, np.ones(12)], np.array([1, 12])) == pytest.approx([0.0, 1.0])


def test_ties_keep_the_order_of_the_wasm():
    score = np.array([0.5, 0.9, 0.5 + 4e-6, 0.1])
    assert orders.sorted_with_ties(np.array([1, 0, 2, 3]), score).tolist() == [1, 0, 2, 3]
    assert orders.sorted_with_ties(np.array([1, 2, 0, 3]), score).tolist() == [1, 2, 0, 3]
    assert orders.sorted_with_ties(np.array([3, 2, 0, 1]), score).tolist() == [1, 2, 0, 3]


def test_the_server_sees_no_session(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "OUT", tmp_path)
    server, rerank = columns(run.spec_file("server")), columns(run.spec_file("rerank"))
    assert not [n for n in server if n.startswith("local.")]
    assert set(server) < set(rerank) and [n for n in rerank if n.startswith("local.")]


def test_missing_data_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANKLET_DATA", str(tmp_path))
    with pytest.raises(Missing, match="ratings.csv"):
        data.folder()
    monkeypatch.setattr("sys.argv", ["run"])
    assert run.main() == run.SKIPPED
    assert "ratings.csv" in capsys.readouterr().out


def test_the_real_ratings_split_in_time():
    try:
        movies, ratings = data.load(data.folder())
    except Missing as missing:
        pytest.skip(str(missing))
    assert len(ratings.user) > 90_000 and (np.diff(ratings.time) >= 0).all()
    until = int(np.quantile(ratings.time, data.TEST_FROM))
    fit, held = data.sessions(ratings, 0, until, 4, seed=7), data.sessions(ratings, until, 10**10, 4, seed=7)
    assert max(m.now for s in fit for m in s.moments) < until <= min(s.start for s in held)
    assert len(movies.key) == len(movies.genre) == len(movies.year)
