"""Gemm and MatMul."""

import itertools

from ..graph import Graph

BIASES = {
    "C none": None,
    "C []": (),
    "C [M]": (5,),
    "C [1, M]": (1, 5),
    "C [1]": (1,),
    "C [N, M]": ("N", 5),
    "C [N, 1]": ("N", 1),
}
# ranks of MatMul: shape of X, shape of the right operand, and where that comes from; the second graph has D = 7, M = 4
PRODUCTS = {
    "2 x 2 constant": ("N D", "D M", "const"),
    "2 x 1 constant": ("N D", "D", "const"),
    "3 x 2 constant": ("N 4 D", "D M", "const"),
    "3 x 3 constant": ("N 4 D", "1 D M", "const"),
    "3 x 1 constant": ("N 4 D", "D", "const"),
    "4 x 2 constant": ("N 2 4 D", "D M", "const"),
    "4 x 4 constant": ("N 2 4 D", "1 2 D M", "const"),
    "4 x 3 constant": ("N 2 4 D", "2 D M", "const"),
    "3 x 3 computed": ("N 4 D", "N D M", "x"),
    "4 x 4 computed": ("N 2 4 D", "N 2 D M", "x"),
    "3 x 3 shared": ("N 4 D", "1 D M", "shared"),
    "2 x 2 shared": ("N D", "D M", "shared"),
    "4 x 4 broadcast inside": ("N 2 4 D", "N 1 D M", "x"),
    "4 x 3 computed, broadcast": ("N 1 4 D", "2 D M", "shared"),
}
LEFT = {
    "constant 2 x 3": ((4, 6), ("N", 6, 3)),
    "constant 1 x 3": ((6,), ("N", 6, 3)),
    "constant 3 x 3": ((1, 4, 6), ("N", 6, 3)),
    "constant 2 x 4": ((4, 6), ("N", 2, 6, 3)),
}


def cases():
    yield from _gemm()
    yield from _matmul()
    yield from _stacks()


def _gemm():
    for trans_a, trans_b, k in itertools.product((0, 1), (0, 1), range(2)):
        value = f"transA={trans_a} transB={trans_b}"
        g = Graph("Gemm", value, k)
        a = _transposed_rows(g) if trans_a else g.x(6)
        b = g.const(g.floats(*((5, 6) if trans_b else (6, 5)), scale=0.4))
        c = [g.const(g.floats(5))] if k == 0 else []
        yield g.out(g("Gemm", a, b, *c, transA=trans_a, transB=trans_b)).done()
    for (alpha, beta), k in itertools.product(((0.5, 1.0), (1.0, 0.25), (1.0, 0.0), (-2.0, 1.5)), range(2)):
        g = Graph("Gemm", f"alpha={alpha:g} beta={beta:g}", k)
        b, c = g.const(g.floats(6, 5, scale=0.4)), g.const(g.floats(*((5,) if k == 0 else (1, 5))))
        yield g.direct(g("Gemm", g.x(6), b, c, alpha=alpha, beta=beta)).done()
    for (value, shape), k in itertools.product(BIASES.items(), range(2)):
        g = Graph("Gemm", value, k)
        x, b = g.x(6), g.const(g.floats(6, 5, scale=0.4))
        c = []
        if shape is not None and "N" in shape:
            c = [g.x(*shape[1:], name="C")]
        elif shape is not None:
            c = [g.const(g.floats(*shape))]
        yield g.direct(g("Gemm", x, b, *c, alpha=1.0 if k == 0 else 0.7, beta=1.0 if k == 0 else 1.3)).done()
    for k in range(2):
        g = Graph("Gemm", "B shared, computed", k)
        yield g.direct(g("Gemm", g.x(6), g.given("S", g.floats(*((6, 4) if k == 0 else (4, 6)))), transB=k)).done()
        g = Graph("Gemm", "A and B per candidate: list-wise", k, rows=7 if k == 0 else 64)
        yield g.direct(g("Gemm", g.x(4), g.x(4, name="Z"), transB=1)).done()


def _transposed_rows(g):
    """What a transA has to undo: candidates in columns."""
    return g("Transpose", g.x(6), perm=[1, 0])


def _matmul():
    for (value, (left, right, how)), k in itertools.product(PRODUCTS.items(), range(2)):
        g = Graph("MatMul", value, k)
        sizes = {"N": g.rows, "D": 6 + k, "M": 3 + k}
        shapes = [[sizes.get(d) or int(d) for d in text.split()] for text in (left, right)]
        x = g.x(data=g.floats(*shapes[0]))
        data = g.floats(*shapes[1], scale=0.4)
        b = {"const": g.const, "x": lambda v: g.x(name="Z", data=v), "shared": lambda v: g.given("S", v)}[how](data)
        y = g("MatMul", x, b)
        yield g.direct(y).done() if k == 0 else g.out(g("Tanh", y)).done()
    for (value, (left, right)), k in itertools.product(LEFT.items(), range(2)):
        g = Graph("MatMul", value, k)
        x = g.x(*right[1:])
        yield g.direct(g("MatMul", g.const(g.floats(*left, scale=0.4)), x)).done()
    for k in range(2):
        g = Graph("MatMul", "X X^T inside a candidate", k)
        x = g.x(3 + k, 5)
        yield g.direct(g("MatMul", x, g("Transpose", x, perm=[0, 2, 1]))).done()
        g = Graph("MatMul", "X^T constant", k)
        x = g("Transpose", g.x(5, 3 + k), perm=[0, 2, 1])
        yield g.direct(g("MatMul", x, g.const(g.floats(5, 4, scale=0.5)))).done()
        g = Graph("MatMul", "over candidates: list-wise", k, rows=7 if k == 0 else 64)
        x = g.x(4)
        scores = g("MatMul", x, g("Transpose", g.x(4, name="Z"), perm=[1, 0]))
        yield g.direct(scores if k == 0 else g("MatMul", g("Softmax", scores, axis=-1), x)).done()


def _stacks():
    """Dense stacks of several depths and widths."""
    shapes = {
        "1 layer": (9, 1),
        "2 layers": (16, 24, 1),
        "3 layers": (33, 64, 17, 4),
        "5 layers": (8, 12, 12, 12, 12, 2),
    }
    for (value, widths), k in itertools.product(shapes.items(), range(2)):
        g = Graph("dense stack", value, k)
        last = g.x(widths[0])
        for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            w, b = g.const(g.floats(inputs, outputs, scale=inputs**-0.5)), g.const(g.floats(outputs, scale=0.1))
            last = g("Gemm", last, w, b) if k == 0 else g("Add", g("MatMul", last, w), b)
            last = g("Relu", last) if layer < len(widths) - 2 else last
        yield g.out(g("Sigmoid", last)).done()
