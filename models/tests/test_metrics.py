"""Metrics against values worked out by hand."""

import math

import numpy as np
import pytest

from ranklet_models import metrics


def test_ndcg():
    assert metrics.ndcg([1, 0, 0], 10) == 1.0
    assert metrics.ndcg([0, 1], 10) == pytest.approx(1 / math.log2(3))
    expected = (3 + 2 / math.log2(3)) / (3 + 2 / math.log2(3) + 1 / math.log2(4))
    assert metrics.ndcg([3, 2, 0, 1], 3) == pytest.approx(expected)
    assert math.isnan(metrics.ndcg([0, 0], 10))


def test_accepted_at():
    assert metrics.accepted_at([0, 0, 1, 0], 3) == 1.0
    assert metrics.accepted_at([0, 0, 0, 1], 3) == 0.0
    assert math.isnan(metrics.accepted_at([0, 0], 3))


def test_normalised_entropy_of_the_base_rate_is_one():
    y = np.array([0, 0, 0, 1])
    assert metrics.normalised_entropy(np.full(4, 0.25), y) == pytest.approx(1.0)
    expected = -(3 * math.log(0.9) + math.log(0.7)) / -(3 * math.log(0.75) + math.log(0.25))
    assert metrics.normalised_entropy(np.array([0.1, 0.1, 0.1, 0.7]), y) == pytest.approx(expected)


def test_ece_and_pcoc():
    p, y = np.array([0.1, 0.1, 0.6, 0.6]), np.array([0, 0, 1, 0])
    assert metrics.ece(p, y, 2) == pytest.approx((0.1 + 0.1) / 2)
    assert metrics.pcoc(p, y, 2) == [float("inf"), pytest.approx(1.2)]


def test_interval_resamples_groups_whole():
    groups = np.repeat(np.arange(30), 20)
    values = np.random.default_rng(0).normal(size=30)[groups]
    mean, low, high = metrics.interval(values, groups)
    assert low < mean < high and mean == pytest.approx(values.mean())
    alone = metrics.interval(values, np.arange(len(values)))
    assert high - low > 3 * (alone[2] - alone[1])  # twenty copies of a value are one observation
    assert metrics.interval(np.array([1.0, np.nan, 1.0]), np.array([0, 1, 2])) == (1.0, 1.0, 1.0)
