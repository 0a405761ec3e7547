"""Gather and its kin, embeddings, OneHot, Scatter."""

import itertools

import numpy as np

from ..graph import Graph

IDS = {"i32": np.int32, "i64": np.int64}


def cases():
    yield from _embedding()
    yield from _gather()
    yield from _gather_elements()
    yield from _gather_nd()
    yield from _onehot()
    yield from _scatter()


def _embedding():
    """A constant table, the ids computed."""
    for (name, dtype), k in itertools.product(IDS.items(), range(2)):
        g = Graph("Gather", f"embedding, {name} ids [N]", k)
        ids = g.x(data=g.ints(g.rows, low=0, high=20, dtype=dtype))
        yield g.direct(g("Gather", g.const(g.floats(20, 4 + k)), ids)).done()
        g = Graph("Gather", f"embedding, {name} ids [N, L]", k)
        ids = g.x(data=g.ints(g.rows, 3 + k, low=0, high=20, dtype=dtype))
        yield g.direct(g("Gather", g.const(g.floats(20, 4)), ids, axis=0)).done()
        g = Graph("Gather", f"embedding, {name} ids [N, 1], flattened", k)
        ids = g.x(data=g.ints(g.rows, 1 + k, low=0, high=20, dtype=dtype))
        yield g.out(g("Flatten", g("Gather", g.const(g.floats(20, 4)), ids), axis=1)).done()
        g = Graph("Gather", f"embedding, {name} negative ids", k)
        ids = g.x(data=g.ints(g.rows, 2 + k, low=-20, high=20, dtype=dtype))
        yield g.direct(g("Gather", g.const(g.floats(20, 4)), ids)).done()
    for k in range(2):
        g = Graph("Gather", "embedding of a shared history", k)
        ids = g.given("S", g.ints(1, 6, low=0, high=20))
        table = g.const(g.floats(20, 4))
        pooled = g("ReduceMean", g("Gather", table, ids), axes=[1], keepdims=0)
        x = g.x(4) if k == 0 else g("Gather", table, g.x(data=g.ints(g.rows, low=0, high=20)))
        yield g.out(g("Mul", x, pooled)).done()
        g = Graph("Gather", "embedding, ids cast from f32", k)
        ids = g("Cast", g.x(data=g.ints(g.rows, 2, low=0, high=9).astype(np.float32)), to=7 if k else 6)
        yield g.out(g("Gather", g.const(g.floats(9, 3)), ids)).done()
        g = Graph("Gather", "embedding bag: sum with a mask", k)
        ids = g.x(data=g.ints(g.rows, 5, low=0, high=9))
        rows = g("Gather", g.const(g.floats(9, 3)), ids)
        mask = g("Cast", g("Not", g("Equal", ids, g.const(0))), to=1)
        total = g("ReduceSum", g("Mul", rows, g("Unsqueeze", mask, g.const([-1]))), g.const([1]), keepdims=0)
        count = g("Max", g("ReduceSum", mask, g.const([1]), keepdims=1), g.const(1.0))
        yield g.out(g("Div", total, count) if k else total).done()


def _gather():
    """Constant indices into a computed value."""
    for (axis, index), k in itertools.product(
        itertools.product((1, -1, 2), ([0, 2], [-1, 1, 1], 1, [[0, 1], [2, -2]])), range(2)
    ):
        g = Graph("Gather", f"axis={axis} index {_rank(index)}", k)
        name = f"{g.name}/{'_'.join(str(v) for v in np.ravel(index))}"
        g.name = name
        x = g.x(4, 3) if axis == 2 or k else g.x(5)
        yield g.direct(g("Gather", x, g.const(index, np.int64 if k else np.int32), axis=axis)).done()
    for k in range(2):
        g = Graph("Gather", "axis=0 of candidates: list-wise", k)
        yield g.direct(g("Gather", g.x(3), g.const([0] if k == 0 else 0), axis=0)).done()
        g = Graph("Gather", "i64 data", k)
        yield g.direct(g("Gather", g.x(data=g.ints(g.rows, 5)), g.const([1, 3 + k]), axis=1)).done()


def _rank(index):
    return ("scalar", "[K]", "[K, L]")[np.ndim(index)]


def _gather_elements():
    for (axis, (name, dtype)), k in itertools.product(itertools.product((1, -1, 2), IDS.items()), range(2)):
        g = Graph("GatherElements", f"axis={axis} {name}", k)
        shape = (4, 3) if axis == 2 or k else (6,)
        size = shape[axis - 1] if axis > 0 else shape[-1]
        index = g.ints(g.rows, *shape, low=-size, high=size, dtype=dtype)
        yield g.direct(g("GatherElements", g.x(*shape), g.x(name="Z", data=index), axis=axis)).done()
    for k in range(2):
        g = Graph("GatherElements", "last valid step", k)
        lengths = g.x(name="Z", data=g.ints(g.rows, 1, low=0, high=5))
        yield g.out(g("GatherElements", g.x(5), lengths, axis=1)).done()


def _gather_nd():
    for k in range(2):
        g = Graph("GatherND", "batch_dims=0, constant data", k)
        index = g.x(data=np.stack([g.ints(g.rows, low=0, high=4), g.ints(g.rows, low=-3, high=3)], 1))
        yield g.direct(g("GatherND", g.const(g.floats(*((4, 3) if k == 0 else (4, 3, 2)))), index)).done()
        g = Graph("GatherND", "batch_dims=1", k)
        index = g.x(name="Z", data=g.ints(g.rows, *((2,) if k == 0 else (2, 1)), low=-3, high=3))
        yield g.direct(g("GatherND", g.x(4, 3), index, batch_dims=1)).done()
        g = Graph("GatherND", "rows of a table", k)
        index = g.x(data=g.ints(g.rows, 1, low=0, high=6))
        yield g.direct(g("GatherND", g.const(g.floats(6, 4 + k)), index)).done()


def _onehot():
    for (name, dtype), axis, k in itertools.product({**IDS, "f32": np.float32}.items(), (-1, 1), range(2)):
        g = Graph("OneHot", f"{name} axis={axis}", k)
        shape = (g.rows,) if k == 0 else (g.rows, 3)
        ids = g.x(data=g.ints(*shape, low=-6, high=6).astype(dtype))
        yield g.direct(g("OneHot", ids, g.const(6, dtype), g.const([0.0, 1.0]), axis=axis)).done()
    for k in range(2):
        g = Graph("OneHot", "beyond the depth", k)
        ids = g.x(data=g.ints(g.rows, low=-9, high=9))
        yield g.direct(g("OneHot", ids, g.const([5]), g.const([-0.5, 2.0 + k]))).done()
        g = Graph("OneHot", "i64 values", k)
        ids = g.x(data=g.ints(g.rows, *([2] if k else []), low=0, high=4))
        yield g.direct(g("OneHot", ids, g.const(4), g.const([3, 7]))).done()
        g = Graph("OneHot", "into a dense layer", k)
        hot = g("OneHot", g.x(data=g.ints(g.rows, low=0, high=4 + k)), g.const(4 + k), g.const([0.0, 1.0]))
        yield g.out(g("MatMul", hot, g.const(g.floats(4 + k, 3)))).done()


def _scatter():
    for k in range(2):
        g = Graph("ScatterElements", "axis=1", k)
        index = np.stack([g.rng.permutation(5)[:2] for _ in range(g.rows)]).astype(np.int64)
        yield g.direct(g("ScatterElements", g.x(5), g.x(name="Z", data=index - 5 * k), g.x(2, name="U"), axis=1)).done()
        g = Graph("ScatterElements", "reduction=add", k, opset=18)
        index = g.ints(g.rows, 3, low=0, high=4)
        yield g.direct(
            g("ScatterElements", g.x(4), g.x(name="Z", data=index), g.x(3, name="U"), axis=1 - 2 * k, reduction="add")
        ).done()
