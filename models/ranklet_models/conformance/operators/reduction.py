"""Every Reduce*, ArgMax, ArgMin, TopK and CumSum."""

import itertools

import numpy as np

from ..graph import Graph

REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
AXES = {"axes=[-1]": [-1], "axes=[1]": [1], "axes=[1, 2]": [1, 2], "axes=[2, 1]": [2, 1]}


def cases():
    for name in REDUCTIONS:
        yield from _forms(name)
    for name, dtype, k in itertools.product(
        ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ReduceMean"), (np.int32, np.int64), range(2)
    ):
        g = Graph(name, np.dtype(dtype).name, k, opset=18)
        data = g.ints(g.rows, 3, 4, low=-3 if name != "ReduceMean" else 0, dtype=dtype)
        yield g.direct(g(name, g.x(data=data), g.const([1 + k]), keepdims=k)).done()
    yield from _arg()
    yield from _topk()
    yield from _cumsum()


def _forms(name):
    """Axes as an attribute and as an input; keepdims 0 and 1; all axes; over the candidates."""
    # ReduceSum has taken its axes as an input since opset 13, the others since 18.
    early, late = (11, 13) if name == "ReduceSum" else (13, 18)
    low = 0.2 if name in ("ReduceLogSum", "ReduceProd") else -1.5
    for (value, axes), keep in itertools.product(AXES.items(), (0, 1)):
        g = Graph(name, f"{value} attribute", keep, opset=early).covers(name, f"keepdims={keep}")
        yield g.direct(g(name, g.x(3, 4, low=low, high=1.5), axes=axes, keepdims=keep)).done()
        g = Graph(name, f"{value} input", keep, opset=late).covers(name, f"keepdims={keep}")
        yield g.direct(g(name, g.x(3, 4, low=low, high=1.5), g.const(axes), keepdims=keep)).done()
    for k in range(2):
        g = Graph(name, "over candidates: list-wise", k, opset=late)
        x = g.x(3, low=low, high=1.5)
        y = g(name, x, g.const([0]), keepdims=1)
        yield g.direct(y).done() if k == 0 else g.out(g("Sub", x, y)).done()
        g = Graph(name, "noop_with_empty_axes=1", k, opset=late)
        axes = [g.const(np.zeros(0, np.int64))] if k == 0 else []
        yield g.out(g(name, g.x(3, low=low, high=1.5), *axes, noop_with_empty_axes=1)).done()
        g = Graph(name, "all axes: list-wise", k, opset=late)
        yield g.direct(
            g(name, g.x(3, low=0.2, high=1.5) if k == 0 else g.x(2, 2, low=0.5, high=1.2), keepdims=k)
        ).done()
        g = Graph(name, "of a shared value", k, opset=late)
        s = g(name, g.shared(5, low=low, high=1.5), g.const([1]), keepdims=k)
        yield g.out(g("Add", g.x(1), s)).done()


def _arg():
    for name, (axis, keep), k in itertools.product(("ArgMax", "ArgMin"), ((1, 0), (-1, 1), (1, 1), (-2, 0)), range(2)):
        g = Graph(name, f"axis={axis} keepdims={keep}", k)
        shape = (3, 4) if k or axis == -2 else (6,)
        yield g.direct(g(name, g.x(*shape), axis=axis, keepdims=keep)).done()
    for name, last, k in itertools.product(("ArgMax", "ArgMin"), (0, 1), range(2)):
        g = Graph(name, f"select_last_index={last}", k)
        x = g.x(data=g.ints(g.rows, 6, low=0, high=3).astype(np.float32 if k == 0 else np.int32))
        yield g.direct(g(name, x, axis=1, select_last_index=last)).done()
    for name, k in itertools.product(("ArgMax", "ArgMin"), range(2)):
        g = Graph(name, "over candidates: list-wise", k)
        yield g.direct(g(name, g.x(3), axis=0, keepdims=k)).done()


def _topk():
    for (largest, is_sorted, axis), k in itertools.product(((1, 1, -1), (0, 1, -1), (1, 1, 1), (0, 1, 1)), range(2)):
        g = Graph("TopK", f"largest={largest} axis={axis}", k)
        shape = (5, 3) if axis == 1 else (7,) if k == 0 else (2, 6)
        y = g("TopK", g.x(*shape), g.const([2 + k]), outputs=2, largest=largest, sorted=is_sorted, axis=axis)
        yield g.direct(*y).done()
    for k in range(2):
        g = Graph("TopK", "equal values", k)
        yield g.direct(
            *g("TopK", g.x(data=g.ints(g.rows, 8, low=0, high=3).astype(np.float32)), g.const([4 + k]), outputs=2)
        ).done()
        g = Graph("TopK", "i64", k)
        data = np.stack([g.rng.permutation(9) for _ in range(g.rows)]).astype(np.int64)
        yield g.direct(*g("TopK", g.x(data=data), g.const([3 + k]), outputs=2)).done()
        g = Graph("TopK", "opset 10", k, opset=10)
        yield g.direct(*g("TopK", g.x(6), g.const([2 + k]), outputs=2)).done()


def _cumsum():
    for (exclusive, reverse), k in itertools.product(itertools.product((0, 1), (0, 1)), range(2)):
        g = Graph("CumSum", f"exclusive={exclusive} reverse={reverse}", k)
        x = g.x(5) if k == 0 else g.x(4, 3)
        yield g.direct(g("CumSum", x, g.const(1 if k == 0 else -2), exclusive=exclusive, reverse=reverse)).done()
    for dtype, k in itertools.product((np.int32, np.int64), range(2)):
        g = Graph("CumSum", np.dtype(dtype).name, k)
        yield g.direct(g("CumSum", g.x(data=g.ints(g.rows, 4 + k, dtype=dtype)), g.const(1, np.int32))).done()
    for k in range(2):
        g = Graph("CumSum", "over candidates: list-wise", k)
        yield g.direct(g("CumSum", g.x(2), g.const(0), reverse=k)).done()
