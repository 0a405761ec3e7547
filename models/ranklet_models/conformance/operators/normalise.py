"""Normalisations and softmaxes."""

import itertools

import numpy as np

from ..graph import Graph


def cases():
    yield from _batch()
    yield from _layer()
    yield from _softmax()
    yield from _other()


def _batch():
    for value, epsilon in (("epsilon default", None), ("epsilon=0.01", 0.01)):
        for k in range(2):
            g = Graph("BatchNormalization", value, k)
            x = g.x(6) if k == 0 else g("Gemm", g.x(9), g.const(g.floats(9, 6, scale=0.4)), g.const(g.floats(6)))
            statistics = [g.floats(6), g.floats(6), g.floats(6), g.floats(6, low=0.2, high=2)]
            attributes = {} if epsilon is None else {"epsilon": epsilon}
            yield g.out(g("BatchNormalization", x, *map(g.const, statistics), **attributes)).done()
    for k in range(2):
        g = Graph("BatchNormalization", "rank 3", k)
        statistics = [g.floats(4), g.floats(4), g.floats(4), g.floats(4, low=0.2, high=2)]
        yield g.direct(g("BatchNormalization", g.x(4, 5 + k), *map(g.const, statistics))).done()
        g = Graph("BatchNormalization", "before a dense layer", k)
        statistics = [g.floats(6), g.floats(6), g.floats(6), g.floats(6, low=0.2, high=2)]
        y = g("BatchNormalization", g.x(6), *map(g.const, statistics))
        yield g.out(g("Gemm", g("Relu", y) if k else y, g.const(g.floats(6, 3)), g.const(g.floats(3)))).done()


def _layer():
    for (value, axis, shape, bias), k in itertools.product(
        (
            ("axis=-1", -1, (8,), True),
            ("axis=-1, no bias", -1, (8,), False),
            ("axis=2 of rank 3", 2, (3, 8), True),
            ("axis=1 of rank 3", 1, (3, 8), True),
            ("axis=-2 of rank 4", -2, (2, 3, 5), True),
        ),
        range(2),
    ):
        g = Graph("LayerNormalization", value, k)
        normal = shape[-1:] if axis in (-1, 2) else shape[-2:]
        operands = [g.const(g.floats(*normal, low=0.5, high=1.5))] + ([g.const(g.floats(*normal))] if bias else [])
        attributes = {"axis": axis} if k == 0 else {"axis": axis, "epsilon": 1e-3}
        yield g.direct(g("LayerNormalization", g.x(*shape), *operands, **attributes)).done()
    for k in range(2):
        g = Graph("LayerNormalization", "opset 14 pattern", k, opset=14)
        x = g.x(*((9,) if k == 0 else (3, 9)))
        centred = g("Sub", x, g("ReduceMean", x, axes=[-1]))
        variance = g("ReduceMean", g("Pow", centred, g.const(2.0)), axes=[-1])
        y = g("Div", centred, g("Sqrt", g("Add", variance, g.const(1e-5))))
        yield g.out(g("Add", g("Mul", y, g.const(g.floats(9))), g.const(g.floats(9)))).done()


def _softmax():
    for name, opset, k in itertools.product(("Softmax", "LogSoftmax"), (11, 13), range(2)):
        for axis in (1, 2, 3, -1, -2):
            g = Graph(name, f"opset {opset} axis={axis}", k, opset=opset)
            shape = (3, 4, 2) if k == 0 or axis == 3 else (5, 4)
            yield g.direct(g(name, g.x(*shape, scale=3.0), axis=axis)).done()
        g = Graph(name, f"opset {opset} axis default", k, opset=opset)
        yield g.direct(g(name, g.x(*((6,) if k == 0 else (3, 6)), scale=3.0))).done()
    for name, k in itertools.product(("Softmax", "LogSoftmax"), range(2)):
        g = Graph(name, "over candidates: list-wise", k)
        yield g.direct(g(name, g.x(*((1,) if k == 0 else (3, 2)), scale=3.0), axis=0)).done()
        g = Graph(name, "masked by -inf", k)
        mask = np.where(g.bools(1, 8), 0, -np.inf).astype(np.float32)
        mask[:, 0] = 0
        x = g("Add", g.x(8), g.shared(data=mask) if k == 0 else g.const(mask))
        yield g.out(g(name, x, axis=1)).done()
    for (opset, axis), k in itertools.product(((11, 1), (13, 1), (13, -1)), range(2)):
        g = Graph("Hardmax", f"opset {opset} axis={axis}", k, opset=opset)
        yield g.direct(g("Hardmax", g.x(*((5,) if k == 0 else (3, 4))), axis=axis)).done()


def _other():
    for p, k in itertools.product((1, 2), range(2)):
        g = Graph("LpNormalization", f"p={p}", k)
        yield g.direct(g("LpNormalization", g.x(*((6,) if k == 0 else (3, 6))), p=p, axis=-1)).done()
    for k in range(2):
        g = Graph("RMSNormalization", "axis=-1", k, opset=23)
        yield g.direct(g("RMSNormalization", g.x(*((6,) if k == 0 else (3, 6))), g.const(g.floats(6)), axis=-1)).done()
        g = Graph("pattern", "cosine similarity", k)
        a, b = g.x(8), g.x(8, name="Z") if k == 0 else g.shared(8)
        norms = [g("ReduceL2", v, axes=[1], keepdims=1) for v in (a, b)]
        dot = g("ReduceSum", g("Mul", a, b), g.const([1]), keepdims=1)
        yield g.out(g("Div", dot, g("Max", g("Mul", *norms), g.const(1e-8)))).done()
