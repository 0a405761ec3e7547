"""The exported calibrators give what scikit-learn gives, and have the forms that `ranklet compile` recognises."""

import numpy as np
import pytest

from ranklet_models import calibrators, trees


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(4)
    score = rng.beta(1, 12, 40_000)
    return score, (rng.random(40_000) < np.clip(1.6 * score**1.2, 0, 1)).astype(int)


def run(model, score):
    return trees.run_onnx(model.SerializeToString(), {"score": score.astype(np.float32)[:, None]})["calibrated"]


def test_isotonic_parity(sample):
    fitted = calibrators.fit_isotonic(*sample)
    model = calibrators.isotonic_graph(fitted)
    x = np.concatenate([np.linspace(-0.5, 1.5, 5001), fitted.X_thresholds_, [0.0, 1.0]])
    got = run(model, x)
    assert got.shape == (len(x), 1)
    assert np.abs(got[:, 0] - fitted.predict(x)).max() < 1e-6
    assert (np.diff(run(model, np.sort(x))[:, 0]) >= -1e-7).all()


def test_isotonic_interpolates_between_knots():
    fitted = calibrators.IsotonicRegression(out_of_bounds="clip").fit([0.0, 1.0, 3.0], [0.1, 0.2, 0.6])
    got = run(calibrators.isotonic_graph(fitted), np.array([-1.0, 0.5, 2.0, 9.0]))[:, 0]
    assert got == pytest.approx([0.1, 0.15, 0.4, 0.6], abs=1e-6)


def test_isotonic_of_a_constant():
    fitted = calibrators.fit_isotonic(np.full(100, 0.3), np.r_[np.ones(20), np.zeros(80)])
    assert run(calibrators.isotonic_graph(fitted), np.array([0.0, 0.3, 1.0]))[:, 0] == pytest.approx(fitted.y_thresholds_[0], abs=1e-6)


def test_isotonic_form(sample):
    graph = calibrators.isotonic_graph(calibrators.fit_isotonic(*sample)).graph
    assert [n.op_type for n in graph.node] == ["Sub", "Max", "Min", "MatMul", "Add"]
    shape = {t.name: list(t.dims) for t in graph.initializer}
    k = shape["lower"][1]
    assert k <= 64
    assert shape == {"lower": [1, k], "zero": [1, 1], "width": [1, k], "slope": [k, 1], "y0": [1, 1]}


def test_platt_parity(sample):
    slope, intercept = calibrators.fit_platt(*sample)
    model = calibrators.platt_graph(slope, intercept)
    assert [n.op_type for n in model.graph.node] == ["Mul", "Add", "Sigmoid"]
    x = np.linspace(-1, 2, 500)
    assert np.abs(run(model, x)[:, 0] - 1 / (1 + np.exp(-(slope * x + intercept)))).max() < 1e-6
