"""LabelEncoder, OneHotEncoder, ArrayFeatureExtractor, FeatureVectorizer."""

import itertools

import numpy as np
from onnx import numpy_helper

from ..graph import Graph

ML = "ai.onnx.ml"


def cases():
    yield from _labels()
    yield from _onehot()
    yield from _columns()


def _labels():
    forms = {
        "i64 to f32": dict(keys_int64s=[1, 3, 5], values_floats=[0.5, -1.0, 2.0], default_float=-9.0),
        "f32 to i64": dict(keys_floats=[1.0, 3.0, 5.0], values_int64s=[7, 8, 9], default_int64=-1),
        "i64 to i64": dict(keys_int64s=[1, 3, 5], values_int64s=[7, 8, 9], default_int64=-1),
        "f32 to f32": dict(keys_floats=[1.0, 3.0, 5.0], values_floats=[0.5, -1.0, 2.0]),
        "NaN key": dict(keys_floats=[float("nan"), 3.0, 5.0], values_floats=[0.5, -1.0, 2.0], default_float=4.0),
    }
    for (value, attributes), k in itertools.product(forms.items(), range(2)):
        g = Graph("LabelEncoder", value, k, ml=2)
        x = g.ints(g.rows, *((4,) if k == 0 else (1,)), low=0, high=7)
        if "keys_floats" in attributes:
            x = x.astype(np.float32)
            if value == "NaN key":
                x[g.rng.random(x.shape) < 0.3] = np.nan
        yield g.direct(g("LabelEncoder", g.x(data=x), domain=ML, **attributes)).done()
    for k in range(2):
        g = Graph("LabelEncoder", "keys as a tensor", k, ml=4)
        tensors = {
            "keys_tensor": numpy_helper.from_array(np.array([2, 4, 6], np.int64)),
            "values_tensor": numpy_helper.from_array(np.array([0.25, 0.5, 1.0], np.float32)),
            "default_tensor": numpy_helper.from_array(np.array([-1], np.float32)),
        }
        yield g.direct(g("LabelEncoder", g.x(data=g.ints(g.rows, 3 + k, low=0, high=8)), domain=ML, **tensors)).done()


def _onehot():
    for (zeros, dtype), k in itertools.product(itertools.product((1, 0), (np.int64, np.float32)), range(2)):
        g = Graph("OneHotEncoder", f"zeros={zeros} {np.dtype(dtype).name}", k)
        high = 6 if zeros else 4  # with zeros=0 an unknown value is an error
        x = g.x(data=g.ints(g.rows, *((1,) if k == 0 else (3,)), low=0 if not zeros else -1, high=high).astype(dtype))
        yield g.out(g("OneHotEncoder", x, domain=ML, cats_int64s=[0, 1, 2, 3], zeros=zeros)).done()
    for k in range(2):
        g = Graph("OneHotEncoder", "into a dense layer, as skl2onnx writes it", k)
        x = g.x(data=g.ints(g.rows, 2, low=0, high=4))
        parts = []
        for column in range(2):
            one = g("ArrayFeatureExtractor", x, g.const([column]), domain=ML)
            hot = g("OneHotEncoder", one, domain=ML, cats_int64s=[0, 1, 2], zeros=1)
            parts.append(g("Reshape", hot, g.const([-1, 3])))
        hot = g("Concat", *parts, axis=-1)
        yield g.out(hot if k == 0 else g("Gemm", hot, g.const(g.floats(6, 2)))).done()


def _columns():
    for (value, index), k in itertools.product(
        {"one": [2], "several": [4, 0, 2], "repeated": [1, 1]}.items(), range(2)
    ):
        g = Graph("ArrayFeatureExtractor", value, k)
        x = g.x(5, special=0.1) if k == 0 else g.x(data=g.ints(g.rows, 5))
        yield g.direct(g("ArrayFeatureExtractor", x, g.const(index), domain=ML)).done()
    for k in range(2):
        g = Graph("FeatureVectorizer", "f32", k)
        parts = [g.x(2), g.x(3, name="Z")] + ([g.x(1, name="U")] if k else [])
        yield g.direct(g("FeatureVectorizer", *parts, domain=ML, inputdimensions=[2, 3, 1][: len(parts)])).done()
        g = Graph("FeatureVectorizer", "i64", k)
        parts = [g.x(data=g.ints(g.rows, 2)), g.x(name="Z", data=g.ints(g.rows, 1 + k))]
        yield g.direct(g("FeatureVectorizer", *parts, domain=ML, inputdimensions=[2, 1 + k])).done()
