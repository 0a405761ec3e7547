"""Ratings as sessions, and the moments at which a list is re-ranked."""

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..native import REPOSITORY, Missing

SESSION_GAP = 30 * 60  # seconds of rest that end a session
TRAIN_FROM, TEST_FROM = 0.35, 0.70  # quantiles of time: neighbours only | sessions to train on | sessions to test on
SESSIONS_PER_USER = 6  # the first ones after the split, so that no user dominates
FIT_MOMENTS, TEST_MOMENTS = 8, 4  # of each session


@dataclass
class Movies:
    """Movies by index: identity, primary genre and year of release."""

    key: list[str]
    genre: list[str]
    year: np.ndarray  # NaN if unknown


@dataclass
class Ratings:
    """All ratings in time order; `movie` is an index into Movies."""

    user: np.ndarray
    movie: np.ndarray
    stars: np.ndarray
    time: np.ndarray  # seconds since the epoch


@dataclass
class Moment:
    """A point inside a session: ratings before `upto` are known, those of the next second are the targets."""

    upto: int
    now: int
    targets: np.ndarray


@dataclass
class Session:
    """One user's uninterrupted ratings, as indexes into Ratings."""

    name: str
    user: int
    rows: np.ndarray
    start: int
    moments: list[Moment]


def folder() -> Path:
    """The data folder: RANKLET_DATA, else ../shared/data beside the repository."""
    root = Path(os.environ.get("RANKLET_DATA", REPOSITORY.parent / "shared" / "data"))
    path = root / "ml-latest-small"
    for name in ("ratings.csv", "movies.csv"):
        if not (path / name).is_file():
            raise Missing(f"{path / name}: no such file. Set RANKLET_DATA to the folder that holds ml-latest-small")
    return path


def load(path: Path) -> tuple[Movies, Ratings]:
    """Read movies.csv and ratings.csv."""
    with (path / "movies.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    years = [re.search(r"\((\d{4})\)\s*$", r["title"]) for r in rows]
    movies = Movies(
        [r["movieId"] for r in rows],
        [r["genres"].split("|")[0] for r in rows],
        np.array([float(y.group(1)) if y else np.nan for y in years]),
    )
    index = {k: i for i, k in enumerate(movies.key)}
    with (path / "ratings.csv").open(encoding="utf-8", newline="") as f:
        raw = [(int(r["timestamp"]), int(r["userId"]), index[r["movieId"]], float(r["rating"])) for r in csv.DictReader(f)]
    raw.sort()
    time, user, movie, stars = (np.array(c) for c in zip(*raw))
    return movies, Ratings(user, movie, stars, time)


def sessions(ratings: Ratings, begin: int, end: int, moments_each: int, seed: int) -> list[Session]:
    """Sessions that start in [begin, end), at most some per user, each with a few moments drawn by `seed`."""
    rng = np.random.default_rng(seed)
    found = []
    for user in np.unique(ratings.user):
        rows = np.flatnonzero(ratings.user == user)
        cuts = np.flatnonzero(np.diff(ratings.time[rows]) > SESSION_GAP) + 1
        kept = 0
        for part in np.split(rows, cuts):
            start = int(ratings.time[part[0]])
            if not begin <= start < end or kept == SESSIONS_PER_USER:
                continue
            moments = _moments(ratings, part, end, moments_each, rng)
            if moments:
                found.append(Session(f"u{user}-{start}", int(user), part, start, moments))
                kept += 1
    return sorted(found, key=lambda s: (s.start, s.user))


def _moments(ratings: Ratings, rows: np.ndarray, end: int, count: int, rng: np.random.Generator) -> list[Moment]:
    """Boundaries between two seconds with at least three ratings before; nothing at or after `end` is a target."""
    time = ratings.time[rows]
    bounds = [b for b in np.flatnonzero(np.diff(time)) + 1 if b >= 3 and time[b] < end]
    if not bounds:
        return []
    picked = rng.choice(bounds, size=min(count, len(bounds)), replace=False)
    return [Moment(int(b), int(time[b - 1]), ratings.movie[rows[time == time[b]]]) for b in sorted(picked)]


def neighbours(ratings: Ratings, before: int, movies: int, count: int, reach: int | None) -> np.ndarray:
    """The `count` movies most often rated together with each movie before a time, [movies, count], -1 where fewer.

    Together: by the same user (`reach` None), or at most `reach` ratings apart. Symmetric, cosine-weighted with a
    shrinkage that keeps rare pairs out. Movies with fewer than five ratings have no neighbours.
    """
    known = ratings.time < before
    counts = np.bincount(ratings.movie[known], minlength=movies)
    common = np.flatnonzero(counts >= 5)
    place = np.full(movies, -1)
    place[common] = np.arange(len(common))
    known &= place[ratings.movie] >= 0
    pairs = np.zeros((len(common), len(common)), np.float32)
    for user in np.unique(ratings.user[known]):
        seen = place[ratings.movie[known & (ratings.user == user)]]
        if reach is None:
            pairs[np.ix_(seen, seen)] += 1.0 / np.log(len(seen) + 2.0)
            continue
        for step in range(1, reach + 1):
            np.add.at(pairs, (seen[:-step], seen[step:]), 1.0)
            np.add.at(pairs, (seen[step:], seen[:-step]), 1.0)
    np.fill_diagonal(pairs, 0.0)
    pairs /= np.sqrt(np.outer(counts[common] + 5.0, counts[common] + 5.0))
    top = np.argsort(-pairs, axis=1, kind="stable")[:, :count]
    found = np.full((movies, count), -1)
    found[common, : top.shape[1]] = np.where(np.take_along_axis(pairs, top, axis=1) > 0, common[top], -1)
    return found
