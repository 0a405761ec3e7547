"""LinearRegressor, LinearClassifier, Scaler, Normalizer, Imputer, Binarizer."""

import itertools

import numpy as np

from ..graph import Graph

ML = "ai.onnx.ml"


def cases():
    yield from _regressor()
    yield from _classifier()
    yield from _scaling()


def _regressor():
    for (targets, bias, transform), k in itertools.product(
        (
            (1, True, "NONE"),
            (3, True, "NONE"),
            (2, False, "NONE"),
            (3, True, "SOFTMAX"),
            (2, True, "LOGISTIC"),
            (3, True, "SOFTMAX_ZERO"),
        ),
        range(2),
    ):
        g = Graph("LinearRegressor", f"targets={targets} {'' if bias else 'no '}intercepts {transform}", k)
        width = 5 + k
        extra = {"intercepts": g.floats(targets).tolist()} if bias else {}
        weights = g.floats(targets * width, scale=0.5).tolist()
        yield g.out(
            g(
                "LinearRegressor",
                g.x(width),
                domain=ML,
                coefficients=weights,
                targets=targets,
                post_transform=transform,
                **extra,
            )
        ).done()


def _classifier():
    for (count, transform), k in itertools.product(
        itertools.product((2, 3), ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")), range(2)
    ):
        g = Graph("LinearClassifier", f"{count} classes {transform}", k)
        labels = list(range(count)) if k == 0 else [4, -2, 9][:count]
        weights = g.floats(count * 5, scale=0.6).tolist()
        label, scores = g(
            "LinearClassifier",
            g.x(5),
            outputs=2,
            domain=ML,
            coefficients=weights,
            intercepts=g.floats(count).tolist(),
            classlabels_ints=labels,
            post_transform=transform,
            multi_class=0,
        )
        yield g.out(label, scores).done(labels={"Y0": "Y1"})
    for transform, k in itertools.product(("NONE", "LOGISTIC"), range(2)):
        g = Graph("LinearClassifier", f"binary, one row of coefficients {transform}", k)
        label, scores = g(
            "LinearClassifier",
            g.x(5),
            outputs=2,
            domain=ML,
            coefficients=g.floats(5).tolist(),
            intercepts=g.floats(1).tolist(),
            classlabels_ints=[0, 1],
            post_transform=transform,
        )
        yield g.out(label, scores).done(labels={"Y0": "Y1"})
    for k in range(2):
        g = Graph("LinearClassifier", "string labels, normalised", k)
        _, scores = g(
            "LinearClassifier",
            g.x(4),
            outputs=2,
            domain=ML,
            coefficients=g.floats(12).tolist(),
            intercepts=g.floats(3).tolist(),
            classlabels_strings=["a", "b", "c"],
            post_transform="LOGISTIC" if k == 0 else "SOFTMAX",
            multi_class=k,
        )
        norm = g("Normalizer", scores, domain=ML, norm="L1")
        yield g.out(norm).done()


def _scaling():
    for k in range(2):
        g = Graph("Scaler", "per column", k)
        scale, offset = g.floats(5, low=0.5, high=2).tolist(), g.floats(5).tolist()
        yield g.direct(g("Scaler", g.x(5, special=0.2 * k), domain=ML, scale=scale, offset=offset)).done()
        g = Graph("Scaler", "one for all", k)
        yield g.direct(g("Scaler", g.x(5 + k), domain=ML, scale=[0.5], offset=[1.5])).done()
        g = Graph("Scaler", "i64 input", k)
        yield g.direct(g("Scaler", g.x(data=g.ints(g.rows, 3 + k)), domain=ML, scale=[0.5], offset=[2.0])).done()
    for norm, k in itertools.product(("MAX", "L1", "L2"), range(2)):
        g = Graph("Normalizer", f"norm={norm}", k)
        data = g.floats(g.rows, 5 + k)
        data[0] = 0
        yield g.direct(
            g("Normalizer", g.x(data=np.abs(data) + 0 if norm == "MAX" else data), domain=ML, norm=norm)
        ).done()
    for (value, attributes), k in itertools.product(
        {
            "one value": dict(imputed_value_floats=[0.5]),
            "per column": dict(imputed_value_floats=[0.1, 0.2, 0.3, 0.4]),
            "replaced_value_float": dict(imputed_value_floats=[-1.0], replaced_value_float=2.0),
        }.items(),
        range(2),
    ):
        g = Graph("Imputer", value, k)
        data = g.floats(g.rows, 4)
        data[g.rng.random(data.shape) < 0.4] = 2.0 if "replaced_value_float" in attributes else np.nan
        attributes = {"replaced_value_float": float("nan"), **attributes}
        y = g("Imputer", g.x(data=data), domain=ML, **attributes)
        yield g.out(y if k == 0 else g("Gemm", y, g.const(g.floats(4, 2)))).done()
    for k in range(2):
        g = Graph("Imputer", "i64", k)
        x = g.x(data=g.ints(g.rows, 4, low=0, high=3))
        yield g.direct(
            g("Imputer", x, domain=ML, imputed_value_int64s=[7] if k == 0 else [5, 6, 7, 8], replaced_value_int64=1)
        ).done()
    for threshold, k in itertools.product((0.0, 0.4), range(2)):
        g = Graph("Binarizer", f"threshold={threshold:g}", k)
        data = g.floats(g.rows, 5 + k)
        data[g.rng.random(data.shape) < 0.3] = threshold
        yield g.direct(g("Binarizer", g.x(data=data), domain=ML, threshold=threshold)).done()
