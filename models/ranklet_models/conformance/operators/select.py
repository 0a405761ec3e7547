"""Concat, Split, Slice, Pad, Tile, Trilu: parts of values and what lies around them."""

import itertools

import numpy as np

from ..graph import Graph


def cases():
    yield from _concat()
    yield from _split()
    yield from _slice()
    yield from _pad()
    yield from _tile()
    yield from _trilu()


def _concat():
    for axis, k in itertools.product((1, -1, 2, -2), range(2)):
        g = Graph("Concat", f"axis={axis}", k)
        flat = axis in (1, -1) and k == 0
        one, two = ((4,), (3,)) if flat else ((2, 5), (3, 5)) if axis in (1, -2) else ((3, 2), (3, 4))
        yield g.direct(g("Concat", g.x(*one), g.x(*two, name="Z"), axis=axis)).done()
    for k in range(2):
        g = Graph("Concat", "one input", k)
        yield g.direct(g("Concat", g.x(3 + k), axis=1)).done()
        g = Graph("Concat", "with a constant, expanded", k)
        x = g.x(4)
        size = g("Concat", g("Shape", x, start=0, end=1), g.const([3]), axis=0)
        yield g.out(g("Concat", x, g("Expand", g.const(g.floats(1, 3)), size), axis=1)).done()
        g = Graph("Concat", "with a shared value, expanded", k)
        x, s = g.x(4), g.shared(3)
        rows = g("Unsqueeze", g("Gather", g("Shape", x), g.const(0), axis=0), g.const([0]))
        wide = g("Expand", s, g("Concat", rows, g.const([3]), axis=0))
        y = g("Concat", *((wide, x) if k else (x, wide)), axis=-1)
        yield g.out(g("Gemm", y, g.const(g.floats(7, 2)))).done()
        g = Graph("Concat", "i64", k)
        parts = [g.x(data=g.ints(g.rows, 2)), g.x(name="Z", data=g.ints(g.rows, 1 + k))]
        yield g.direct(g("Concat", *parts, axis=1)).done()
        g = Graph("Concat", "over candidates: list-wise", k)
        s = g.const(g.floats(1, 3)) if k == 0 else g.shared(3)
        yield g.direct(g("Concat", s, g.x(3), axis=0)).done()


def _split():
    for k in range(2):
        g = Graph("Split", "split as an attribute", k, opset=11)
        yield g.direct(*g("Split", g.x(7) if k == 0 else g.x(7, 2), outputs=3, axis=1, split=[2, 4, 1])).done()
        g = Graph("Split", "split as an input", k)
        yield g.direct(*g("Split", g.x(7) if k == 0 else g.x(2, 7), g.const([3, 4]), outputs=2, axis=-1)).done()
        g = Graph("Split", "equal", k, opset=13)
        yield g.out(*g("Split", g.x(6) if k == 0 else g.x(6, 2), outputs=3, axis=1)).done()
        g = Graph("Split", "num_outputs", k, opset=18)
        yield g.out(*g("Split", g.x(7 + k), outputs=3, axis=1, num_outputs=3)).done()
        g = Graph("Split", "gates of one dense layer", k)
        h = g("Gemm", g.x(5), g.const(g.floats(5, 12)), g.const(g.floats(12)))
        a, b, c = g("Split", h, outputs=3, axis=1)
        yield g.out(g("Add", g("Mul", g("Sigmoid", a), b), c)).done()


def _slice():
    forms = {
        "start, end": ([1], [4], [1], None),
        "step 2": ([0], [9], [1], [2]),
        "step -1": ([-1], [-100], [1], [-1]),
        "step -2": ([7], [0], [1], [-2]),
        "negative start and end": ([-4], [-1], [1], None),
        "end beyond": ([2], [2**63 - 1], [1], None),
        "negative axis": ([1], [5], [-1], None),
        "two axes": ([1, 0], [6, 2], [1, 2], [2, 1]),
        "two axes, negative steps": ([-1, 2], [-9, -4], [1, 2], [-2, -1]),
    }
    for (value, (starts, ends, axes, steps)), k in itertools.product(forms.items(), range(2)):
        g = Graph("Slice", value, k)
        x = g.x(8, 3) if k or len(axes) == 2 else g.x(8)
        if value == "negative axis" and k:
            x = g.x(3, 8, name="Z")
        operands = [g.const(starts), g.const(ends), g.const(axes)] + ([g.const(steps)] if steps else [])
        y = g("Slice", x, *operands)
        yield g.direct(y).done() if k == 0 else g.out(g("Mul", y, g.const(2.0))).done()
    for k in range(2):
        g = Graph("Slice", "opset 9 attributes", k, opset=9)
        yield g.direct(g("Slice", g.x(6 + k), axes=[1], starts=[1], ends=[-1])).done()
        g = Graph("Slice", "no axes", k)
        yield g.direct(g("Slice", g.x(6 + k), g.const([0, 1]), g.const([2**31 - 1, 4]))).done()
        g = Graph("Slice", "i32 indices", k)
        operands = [g.const(v, np.int32) for v in ([1], [5 + k], [1])]
        yield g.direct(g("Slice", g.x(7), *operands)).done()
        g = Graph("Slice", "last of a sequence", k)
        last = g("Slice", g.x(5, 4), g.const([-1]), g.const([2**63 - 1]), g.const([1]))
        yield g.out(g("Squeeze", last, g.const([1])) if k == 0 else last).done()
        g = Graph("Slice", "over candidates: list-wise", k)
        yield g.direct(g("Slice", g.x(3, name="X"), g.const([0]), g.const([1]), g.const([0]))).done()


def _pad():
    pads = {
        "constant": dict(mode="constant"),
        "constant, value": dict(mode="constant"),
        "reflect": dict(mode="reflect"),
        "edge": dict(mode="edge"),
        "wrap": dict(mode="wrap"),
    }
    for (value, attributes), k in itertools.product(pads.items(), range(2)):
        g = Graph("Pad", value, k, opset=19)
        shape, amounts = ((6,), [0, 2, 0, 3]) if k == 0 else ((4, 5), [0, 1, 2, 0, 3, 0])
        fill = [g.const(1.5)] if value == "constant, value" else []
        yield g.direct(g("Pad", g.x(*shape), g.const(amounts), *fill, **attributes)).done()
    for k in range(2):
        g = Graph("Pad", "negative", k)
        yield g.direct(g("Pad", g.x(6), g.const([0, -1, 0, 2 if k else -2]))).done()
        g = Graph("Pad", "axes", k, opset=18)
        yield g.direct(g("Pad", g.x(4, 5), g.const([1, 2]), "", g.const([-1 if k else 1]))).done()
        g = Graph("Pad", "opset 2 attributes", k, opset=10)
        yield g.direct(g("Pad", g.x(5 + k), pads=[0, 1, 0, 2], value=0.5)).done()
        g = Graph("Pad", "i64", k)
        yield g.direct(g("Pad", g.x(data=g.ints(g.rows, 3 + k)), g.const([0, 1, 0, 1]), g.const(-1))).done()
        g = Graph("Pad", "shift a sequence", k)
        x = g.x(4, 3 + k)
        past = g("Slice", x, g.const([0]), g.const([-1]), g.const([1]))
        yield g.out(g("Sub", x, g("Pad", past, g.const([0, 1, 0, 0, 0, 0])))).done()


def _tile():
    for (value, repeats), k in itertools.product(
        {"last axis": [1, 3], "middle axis": [1, 2, 1], "two axes": [1, 2, 3]}.items(), range(2)
    ):
        g = Graph("Tile", value, k)
        shape = (4 + k,) if len(repeats) == 2 else (2 + k, 3)
        yield g.direct(g("Tile", g.x(*shape), g.const(repeats))).done()
    for k in range(2):
        g = Graph("Tile", "candidate against each position", k)
        q, h = g.x(1, 4), g.x(5, 4, name="Z") if k == 0 else g.shared(5, 4)
        yield g.out(g("Mul", g("Tile", q, g.const([1, 5, 1])), h)).done()
        g = Graph("Tile", "of a shared value to N", k)
        x = g.x(3)
        repeats = g("Concat", g("Shape", x, start=0, end=1), g.const([1]), axis=0)
        yield g.out(g("Concat", x, g("Tile", g.shared(2 + k), repeats), axis=1)).done()


def _trilu():
    for (upper, diagonal), k in itertools.product(itertools.product((0, 1), (0, 1, -1)), range(2)):
        g = Graph("Trilu", f"upper={upper} k={diagonal}", k)
        x = g.x(4, 4) if k == 0 else g.x(2, 3, 5)
        yield g.direct(g("Trilu", x, *([g.const(diagonal)] if diagonal else []), upper=upper)).done()
    for k in range(2):
        g = Graph("Trilu", "causal mask", k)
        mask = g("Trilu", g.const(np.full((5, 5), -1e9, np.float32)), g.const(1), upper=1)
        yield g.out(g("Softmax", g("Add", g.x(5, 5) if k == 0 else g.x(2, 5, 5), mask), axis=-1)).done()
