"""Write requests, events and targets of both stages in the design's formats.

Stage one is the server: one request a session, a pool of popular movies, facts as of the session's start. Stage two is
the device: one request a moment, the server's first hundred, the session so far as events. Popularity and the like are
server facts and go into the request; every column of a model comes from `ranklet featurize`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .data import Movies, Ratings, Session, neighbours

POOL = 450  # movies of each popularity list that the server scores
CANDIDATES = 100
RECENT = 5_000  # ratings that count as recent
HISTORY = 40  # of the user's own earlier ratings
NEIGHBOURS = 15
REACH = 10  # ratings apart that count as side by side
LIKED = 4.0  # stars that make a rating an `accept`; below it is an `open`


@dataclass
class Snapshot:
    """What the server knows when a session starts."""

    session: Session
    pool: np.ndarray  # movies in order of all-time popularity
    features: list[dict]  # of each movie of the pool
    facts: dict


class Server:
    """Server-side knowledge, strictly before each session; neighbour lists from ratings before `known_until`."""

    def __init__(self, movies: Movies, ratings: Ratings, known_until: int):
        self.movies, self.ratings = movies, ratings
        n = len(movies.key)
        self.same_user = neighbours(ratings, known_until, n, NEIGHBOURS, None)
        self.side_by_side = neighbours(ratings, known_until, n, NEIGHBOURS, REACH)
        self.position = np.empty(len(ratings.user), int)  # of each rating among its user's
        for user in np.unique(ratings.user):
            rows = np.flatnonzero(ratings.user == user)
            self.position[rows] = np.arange(len(rows))

    def snapshots(self, sessions: list[Session]) -> Iterator[Snapshot]:
        """One per session, with running counts; sessions must be in time order."""
        r, n = self.ratings, len(self.movies.key)
        count, stars, done = np.zeros(n), np.zeros(n), 0
        for s in sessions:
            upto = int(np.searchsorted(r.time, s.start))
            np.add.at(count, r.movie[done:upto], 1)
            np.add.at(stars, r.movie[done:upto], r.stars[done:upto])
            done = upto
            yield self._snapshot(s, upto, count, stars)

    def _snapshot(self, s: Session, upto: int, count: np.ndarray, stars: np.ndarray) -> Snapshot:
        r, m = self.ratings, self.movies
        recent = np.bincount(r.movie[max(0, upto - RECENT) : upto], minlength=len(m.key))
        past = np.flatnonzero(r.user[:upto] == s.user)
        seen = np.zeros(len(m.key), bool)
        seen[r.movie[past]] = True
        popular, fresh = np.where(seen, 0, count), np.where(seen, 0, recent)
        pool = np.union1d(np.argsort(-popular, kind="stable")[:POOL], np.argsort(-fresh, kind="stable")[:POOL])
        pool = pool[~seen[pool] & (count[pool] > 0)]
        pool = pool[np.argsort(-count[pool], kind="stable")]
        genres = [m.genre[i] for i in r.movie[past]]
        held = set(r.movie[past[-HISTORY:]].tolist())
        mean = (stars + 3.5 * 5) / (count + 5)
        features = []
        for i in pool:
            f = {
                "popularity": round(1e4 * count[i] / upto, 4),
                "recent": round(1e4 * recent[i] / min(upto, RECENT), 4),
                "stars": round(float(mean[i]), 4),
            }
            if not np.isnan(m.year[i]):
                f["year"] = int(m.year[i])
            if genres:
                f["taste"] = round(genres.count(m.genre[i]) / len(genres), 4)
                f["like_history"] = sum(j in held for j in self.same_user[i])
            features.append(f)
        facts = {"account": {"ratings": len(past)}, "market": {"year": 1970 + s.start / 31_556_952}}
        if len(past):
            facts["account"]["mean_stars"] = round(float(r.stars[past].mean()), 4)
            years = m.year[r.movie[past]]
            if not np.isnan(years).all():
                facts["account"]["mean_year"] = round(float(np.nanmean(years)), 2)
        return Snapshot(s, pool, features, facts)

    def keys(self, table: np.ndarray, movie: int) -> list[str]:
        """A neighbour list as candidate keys."""
        return [self.movies.key[j] for j in table[movie] if j >= 0]


def _line(value: dict) -> str:
    return json.dumps(value, separators=(",", ":"), check_circular=False) + "\n"


def write_server_requests(server: Server, snapshots: list[Snapshot], path: Path) -> None:
    """Stage one: the pool of each session, in order of popularity."""
    with path.open("w") as f:
        for s in snapshots:
            candidates = [
                {"id": server.movies.key[i], "type": server.movies.genre[i], "features": x}
                for i, x in zip(s.pool, s.features)
            ]
            now = s.session.start * 1000
            f.write(_line({"session": s.session.name, "now": now, "candidates": candidates, "facts": s.facts}))


@dataclass
class Stage:
    """Stage two on disk, and its targets in the order of the requests."""

    requests: Path
    events: Path
    control: Path  # another session's events, under this session's name
    users: np.ndarray  # of each request
    gains: list[np.ndarray]  # 0/1 of each candidate of each request
    targets: np.ndarray  # number of targets of each request, among the candidates or not
    popularity: list[np.ndarray]  # 0/1 of the pool in order of popularity, rated ones left out


def write_stage(server: Server, snapshots: list[Snapshot], scores: list[np.ndarray], folder: Path) -> Stage:
    """Stage two: the server's first hundred that are not yet rated at each moment, best first."""
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(folder / "requests.jsonl", folder / "events.jsonl", folder / "control.jsonl", np.array([]), [], np.array([]), [])
    users, targets = [], []
    with stage.requests.open("w") as requests, stage.events.open("w") as events, stage.control.open("w") as control:
        for j, (s, score) in enumerate(zip(snapshots, scores)):
            other = _stranger(snapshots, j)
            order = np.argsort(-score, kind="stable")
            for k, moment in enumerate(s.session.moments):
                name = f"{s.session.name}-{k}"
                rated = set(server.ratings.movie[s.session.rows[: moment.upto]].tolist())
                rows = [int(p) for p in order if int(s.pool[p]) not in rated][:CANDIDATES]
                wanted = set(moment.targets.tolist())
                requests.write(_line(_request(server, s, score, rows, name, moment.now)))
                _events(server, s.session, moment.upto, moment.now, name, events)
                _events(server, other, moment.upto, moment.now, name, control)
                stage.gains.append(np.array([int(s.pool[p]) in wanted for p in rows], float))
                stage.popularity.append(np.array([int(i) in wanted for i in s.pool if int(i) not in rated], float))
                users.append(s.session.user)
                targets.append(len(wanted))
    stage.users, stage.targets = np.array(users), np.array(targets)
    return stage


def _stranger(snapshots: list[Snapshot], j: int) -> Session:
    """The session of another user that lies half the list away: fixed, and far in time."""
    n = len(snapshots)
    for step in range(n):
        other = snapshots[(j + n // 2 + step) % n].session
        if other.user != snapshots[j].session.user:
            return other
    raise ValueError("only one user has sessions in this part")


def _request(server: Server, s: Snapshot, score: np.ndarray, rows: list[int], name: str, now: int) -> dict:
    candidates = []
    for p in rows:
        i = int(s.pool[p])
        lists = {"same_user": server.keys(server.same_user, i), "side_by_side": server.keys(server.side_by_side, i)}
        candidates.append(
            {
                "id": server.movies.key[i],
                "type": server.movies.genre[i],
                "server_score": round(float(score[p]), 7),
                "features": s.features[p] | lists,
            }
        )
    return {"decision_id": name, "session": name, "now": now * 1000, "candidates": candidates, "facts": s.facts}


def _events(server: Server, session: Session, upto: int, now: int, name: str, out) -> None:
    """The first `upto` ratings of a session as events, moved in time so that the last of them is at `now`."""
    r, rows = server.ratings, session.rows[:upto]
    shift = now - int(r.time[rows[-1]])
    for i in rows:
        kind = "accept" if r.stars[i] >= LIKED else "open"
        movie = r.movie[i]
        event = {"session": name, "type": kind, "key": server.movies.key[movie], "candidate_type": server.movies.genre[movie]}
        out.write(_line(event | {"time": (int(r.time[i]) + shift) * 1000}))
