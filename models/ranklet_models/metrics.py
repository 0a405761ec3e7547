"""Metrics of rankings and of probabilities, and intervals by resampling whole accounts or users."""

import numpy as np


def ndcg(gains: np.ndarray, k: int) -> float:
    """NDCG@k of gains in ranked order (Jarvelin and Kekalainen 2002, log2 discount); NaN where no gain is positive."""
    gains = np.asarray(gains, float)
    discount = 1.0 / np.log2(np.arange(2, min(k, len(gains)) + 2))
    best = float((np.sort(gains)[::-1][:k] * discount).sum())
    return float((gains[:k] * discount).sum()) / best if best > 0 else float("nan")


def accepted_at(gains: np.ndarray, k: int) -> float:
    """1 if one of the first k is accepted; NaN where the list has nothing to accept."""
    gains = np.asarray(gains)
    return float(gains[:k].max() > 0) if gains.max(initial=0) > 0 else float("nan")


def interval(values: np.ndarray, groups: np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Mean of `values` and its 95 % bootstrap interval, resampling `groups` whole; NaNs are left out."""
    values = np.asarray(values, float)
    keep = ~np.isnan(values)
    _, index = np.unique(np.asarray(groups)[keep], return_inverse=True)
    total = np.bincount(index, values[keep])
    count = np.bincount(index).astype(float)
    rng = np.random.default_rng(seed)
    picks = rng.multinomial(len(total), np.full(len(total), 1 / len(total)), size=draws)
    means = (picks @ total) / (picks @ count)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(total.sum() / count.sum()), float(low), float(high)


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    """Mean log loss in nats, with p kept off 0 and 1."""
    p = np.clip(np.asarray(p, float), 1e-12, 1 - 1e-12)
    return float(-np.mean(np.where(np.asarray(y) > 0, np.log(p), np.log1p(-p))))


def normalised_entropy(p: np.ndarray, y: np.ndarray) -> float:
    """Log loss over that of predicting the base rate everywhere (He et al. 2014); below 1 is better than the constant."""
    base = float(np.mean(y))
    return log_loss(p, y) / log_loss(np.full(len(y), base), y)


def equal_mass(p: np.ndarray, bins: int) -> list[np.ndarray]:
    """Row indexes of `bins` groups of equal size, from the lowest prediction to the highest."""
    return np.array_split(np.argsort(p, kind="stable"), bins)


def pcoc(p: np.ndarray, y: np.ndarray, bins: int = 10) -> list[float]:
    """Predicted over observed rate in each equal-mass bin; infinite where nothing was observed."""
    rates = ((float(np.mean(p[i])), float(np.mean(y[i]))) for i in equal_mass(p, bins))
    return [a / b if b > 0 else float("inf") for a, b in rates]


def ece(p: np.ndarray, y: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over equal-mass bins."""
    return float(sum(len(i) * abs(np.mean(p[i]) - np.mean(y[i])) for i in equal_mass(p, bins)) / len(p))
