"""Fit a calibrator and write it as an ONNX graph [N, 1] -> [N, 1] of a form that `ranklet compile` recognises.

Isotonic: Sub, Max 0, Min width, MatMul slope, Add. Every segment adds its slope times the part of it that lies left of
the score, so values between two knots are interpolated truly, and the ends are flat.
Platt: Mul, Add, Sigmoid.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

OPSET = 17
KNOTS = 48  # the runtime keeps them all, and sixty-four segments are its limit


def fit_isotonic(score: np.ndarray, label: np.ndarray, knots: int = KNOTS) -> IsotonicRegression:
    """Isotonic regression on at most `knots` groups of equal total score.

    Where acceptance is rare, groups of equal size would leave a handful of accepts in most of them and the whole upper
    half of the scores in the last; equal total score gives each about as many accepts.
    """
    order = np.argsort(score, kind="stable")
    mass = np.cumsum(score[order], dtype=np.float64)
    cuts = np.searchsorted(mass, mass[-1] * np.arange(1, knots) / knots)
    groups = [g for g in np.split(order, cuts) if len(g)]
    x = np.array([score[g].mean() for g in groups], np.float64)
    y = np.array([label[g].mean() for g in groups], np.float64)
    weight = np.array([len(g) for g in groups], np.float64)
    return IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(x, y, sample_weight=weight)


def isotonic_graph(fitted: IsotonicRegression) -> onnx.ModelProto:
    """The fitted curve as a graph of f32."""
    x = np.asarray(fitted.X_thresholds_, np.float64)
    y = np.asarray(fitted.y_thresholds_, np.float64)
    if len(x) < 2:  # a constant: one flat segment
        x, y = np.array([x[0], x[0] + 1.0]), np.array([y[0], y[0]])
    lower, width = x[:-1], np.diff(x)
    slope = np.diff(y) / width
    constants = {
        "lower": lower[None, :],
        "zero": np.zeros((1, 1)),
        "width": width[None, :],
        "slope": slope[:, None],
        "y0": [[y[0]]],
    }
    nodes = [
        helper.make_node("Sub", ["score", "lower"], ["right_of_knot"], "sub"),
        helper.make_node("Max", ["right_of_knot", "zero"], ["positive"], "max"),
        helper.make_node("Min", ["positive", "width"], ["inside"], "min"),
        helper.make_node("MatMul", ["inside", "slope"], ["risen"], "matmul"),
        helper.make_node("Add", ["risen", "y0"], ["calibrated"], "add"),
    ]
    return _graph("isotonic", nodes, constants)


def fit_platt(score: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of a logistic curve over the score (Platt 1999, without the prior correction)."""
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(np.asarray(score, float).reshape(-1, 1), label)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def platt_graph(slope: float, intercept: float) -> onnx.ModelProto:
    """sigmoid(slope * score + intercept) as a graph of f32."""
    nodes = [
        helper.make_node("Mul", ["score", "a"], ["scaled"], "mul"),
        helper.make_node("Add", ["scaled", "b"], ["margin"], "add"),
        helper.make_node("Sigmoid", ["margin"], ["calibrated"], "sigmoid"),
    ]
    return _graph("platt", nodes, {"a": [[slope]], "b": [[intercept]]})


def _graph(name: str, nodes: list, constants: dict) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("calibrated", TensorProto.FLOAT, ["N", 1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="ranklet_models")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model
