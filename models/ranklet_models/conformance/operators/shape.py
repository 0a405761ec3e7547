"""What moves values without computing, and the arithmetic of shapes that exporters write around it."""

import itertools

import numpy as np
from onnx import helper, numpy_helper

from ..graph import Graph


def cases():
    yield from _reshape()
    yield from _flatten()
    yield from _transpose()
    yield from _squeeze()
    yield from _expand()
    yield from _shapes()
    yield from _constants()
    yield from _einsum()


def _reshape():
    forms = {
        "-1 leading": ([-1, 3, 4], [-1, 2, 6]),
        "0 keeps": ([0, 3, 4], [0, 6, 2]),
        "0 and -1": ([0, -1], [0, -1, 2]),
        "-1 in the middle": ([0, -1, 3], [0, 2, -1, 2]),
        "to rank 4": ([-1, 2, 3, 2], [0, 1, 3, 4]),
    }
    for (value, targets), k in itertools.product(forms.items(), range(2)):
        g = Graph("Reshape", value, k)
        yield g.direct(g("Reshape", g.x(12) if k == 0 else g.x(3, 4), g.const(targets[k]))).done()
    for k in range(2):
        g = Graph("Reshape", "allowzero=1", k)
        yield g.direct(g("Reshape", g.x(12), g.const([-1, 4, 3] if k == 0 else [-1, 6, 2]), allowzero=1)).done()
        g = Graph("Reshape", "from a Shape", k)
        x = g.x(2, 6)
        rows = g("Gather", g("Shape", x), g.const(0))
        target = g("Concat", g("Unsqueeze", rows, g.const([0])), g.const([3, 4] if k == 0 else [-1]), axis=0)
        yield g.out(g("Reshape", x, target)).done()
        g = Graph("Reshape", "shape times a number", k)
        x = g.x(4, 3)
        width = g("Mul", g("Gather", g("Shape", x), g.const(1)), g("Gather", g("Shape", x), g.const(2)))
        rows = g.const([-1]) if k == 0 else g("Shape", x, start=0, end=1)
        yield g.out(g("Reshape", x, g("Concat", rows, g("Unsqueeze", width, g.const([0])), axis=0))).done()
        g = Graph("Reshape", "candidates and positions folded, then back", k)
        x = g.x(3, 4)
        flat = g("Gemm", g("Reshape", x, g.const([-1, 4])), g.const(g.floats(4, 5)), g.const(g.floats(5)))
        back = g.const([-1, 3, 5]) if k == 0 else g("Concat", g("Shape", x, start=0, end=2), g.const([-1]), axis=0)
        yield g.out(g("Reshape", g("Relu", flat), back)).done()
        g = Graph("Reshape", "i64 to [N]", k)
        yield g.direct(g("Reshape", g.x(data=g.ints(g.rows, 1)), g.const([-1] if k == 0 else [0]))).done()


def _flatten():
    for axis, k in itertools.product((1, -2, -1, 2), range(2)):
        g = Graph("Flatten", f"axis={axis}", k)
        shape = (2, 5) if axis == -2 else (3, 4) if k == 0 else (2, 3, 2)
        if axis in (-1, 2):
            shape = (1, 5 + k)
        yield g.direct(g("Flatten", g.x(*shape), axis=axis)).done()
    for k in range(2):
        g = Graph("Flatten", "axis default", k)
        yield g.direct(g("Flatten", g.x(2, 3 + k))).done()


def _transpose():
    perms = {
        "[0, 2, 1]": (3, 4),
        "[0, 1, 3, 2]": (2, 3, 4),
        "[0, 2, 1, 3]": (2, 3, 4),
        "[0, 3, 1, 2]": (2, 3, 4),
        "[0, 3, 2, 1]": (2, 3, 4),
    }
    for (value, shape), k in itertools.product(perms.items(), range(2)):
        g = Graph("Transpose", f"perm={value}", k)
        perm = [int(c) for c in value if c.isdigit()]
        y = g("Transpose", g.x(*shape), perm=perm)
        yield g.direct(y).done() if k == 0 else g.out(g("Reshape", y, g.const([0, -1]))).done()
    for k in range(2):
        g = Graph("Transpose", "candidates behind, then back", k)
        x = g("Transpose", g.x(3, 4), perm=[1, 0, 2])
        acted = g("Mul", x, g.const(g.floats(3, 1, 1))) if k == 0 else g("Softmax", x, axis=0)
        yield g.out(g("Transpose", acted, perm=[1, 0, 2])).done()
        g = Graph("Transpose", "perm default", k)
        y = g("Transpose", g.x(5))
        yield g.out(g("Transpose", g("Exp", y) if k else y)).done()


def _squeeze():
    for k in range(2):
        g = Graph("Squeeze", "axes as an attribute", k, opset=11)
        yield g.direct(g("Squeeze", g.x(*((1, 4), (4, 1))[k]), axes=[1 + k])).done()
        g = Graph("Squeeze", "axes as an input", k)
        yield g.direct(g("Squeeze", g.x(*((1, 4, 1), (4, 1))[k]), g.const(([1, 3], [-1])[k]))).done()
        g = Graph("Squeeze", "to [N]", k)
        x = g.x(4)
        yield g.out(g("Squeeze", g("Gemm", x, g.const(g.floats(4, 1))), g.const([1 if k else -1]))).done()
        g = Graph("Unsqueeze", "axes as an attribute", k, opset=11)
        yield g.direct(g("Unsqueeze", g.x(4), axes=([1], [1, 3])[k])).done()
        g = Graph("Unsqueeze", "axes as an input", k)
        yield g.direct(g("Unsqueeze", g.x(*((4,), (2, 3))[k]), g.const(([-1], [1])[k]))).done()
        g = Graph("Unsqueeze", "two axes", k)
        yield g.direct(g("Unsqueeze", g.x(4 + k), g.const(([1, -1], [3, 1])[k]))).done()


def _expand():
    for k in range(2):
        g = Graph("Expand", "inside a candidate", k)
        yield g.direct(g("Expand", g.x(1, 4) if k == 0 else g.x(3, 1), g.const([1, 3, 4]))).done()
        g = Graph("Expand", "to a higher rank", k)
        x = g.x(4)
        rows = g("Shape", x, start=0, end=1)
        target = g("Concat", rows, g.const([3, 4]), axis=0)
        tall = g("Unsqueeze", x, g.const([1])) if k == 0 else g("Reshape", x, g.const([-1, 1, 4]))
        yield g.out(g("Expand", tall, target)).done()
        g = Graph("Expand", "smaller target", k)
        yield g.direct(g("Expand", g.x(3, 4), g.const([4] if k == 0 else [1, 1]))).done()
        g = Graph("Expand", "shared to N, as PyTorch writes -1", k)
        x, s = g.x(3), g.shared(3)
        rows = g("Unsqueeze", g("Gather", g("Shape", x), g.const(0)), g.const([0]))
        raw = g("Concat", rows, g.const([-1]), axis=0)
        ones = g("ConstantOfShape", g("Shape", raw), value=numpy_helper.from_array(np.array([1], np.int64)))
        minus = g("Mul", ones, g.const(-1))
        target = g("Where", g("Equal", raw, minus), ones, raw)
        wide = g("Expand", s, target)
        yield g.out(g("Concat", x, wide, axis=1) if k == 0 else g("Mul", x, wide)).done()


def _shapes():
    for k in range(2):
        g = Graph("Shape", "start, end", k)
        x = g.x(3, 4)
        y = g("Cast", g("Shape", x, start=1, end=3), to=1)
        yield g.out(g("Mul", x, g("ReduceProd", y, keepdims=0) if k else g("Gather", y, g.const(0)))).done()
        g = Graph("Shape", "width as a number", k)
        x = g.x(6 + k)
        width = g("Cast", g("Gather", g("Shape", x), g.const(1)), to=1)
        yield g.out(g("Div", x, g("Sqrt", width))).done()
        g = Graph("Shape", "N as a number: list-wise", k)
        x = g.x(3)
        count = g("Cast", g("Gather", g("Shape", x), g.const(0)), to=1)
        yield g.out(g("Div", x, count) if k == 0 else g("Mul", x, g("Log", count))).done()
        g = Graph("Size", "of a shared value", k)
        s = g.shared(3, 4)
        yield g.out(g("Mul", g.x(2 + k), g("Cast", g("Size", s), to=1))).done()
        g = Graph("Size", "of candidates: list-wise", k)
        x = g.x(3 + k)
        yield g.out(g("Add", x, g("Cast", g("Size", x), to=1))).done()
        g = Graph("ConstantOfShape", "zeros", k)
        x = g.x(4)
        zeros = g("ConstantOfShape", g("Shape", x))
        yield g.out(g("Sub", zeros, x) if k else g("Concat", x, zeros, axis=1)).done()
        g = Graph("ConstantOfShape", "value", k)
        x = g.x(4)
        target = g("Concat", g("Shape", x, start=0, end=1), g.const([2 + k]), axis=0)
        filled = g("ConstantOfShape", target, value=numpy_helper.from_array(np.array([0.5], np.float32)))
        yield g.out(g("Concat", filled, x, axis=1)).done()
        g = Graph("ConstantOfShape", "i64", k)
        filled = g("ConstantOfShape", g.const([3]), value=numpy_helper.from_array(np.array([2 + k], np.int64)))
        yield g.out(g("Add", g.x(data=g.ints(g.rows, 3)), filled)).done()
        g = Graph("Range", "positions", k)
        x = g.x(5, 4)
        positions = g("Range", g.const(0), g("Gather", g("Shape", x), g.const(1)), g.const(1))
        yield g.out(g("Add", x, g("Gather", g.const(g.floats(9, 4)), positions))).done()
        g = Graph("Range", "f32, negative step", k)
        yield g.out(g("Mul", g.x(5), g("Range", g.const(2.5), g.const(0.0), g.const(-0.5)))).done()
        g = Graph("Range", "i32", k)
        steps = g("Range", *(g.const(v, np.int32) for v in (1, 9, 2)))
        yield g.out(g("Mul", g.x(4), g("Cast", steps, to=1))).done()
        g = Graph("Range", "over N: list-wise", k)
        x = g.x(3)
        count = g("Gather", g("Shape", x), g.const(0))
        places = g("Cast", g("Range", g.const(0), count, g.const(1)), to=1)
        yield g.out(g("Add", x, g("Unsqueeze", places, g.const([1])))).done()


def _constants():
    """Constant in all its forms."""
    tensor = numpy_helper.from_array(np.array([[0.5, -1.0, 2.0]], np.float32))
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([0.5, 3.0], np.float32), "values"),
        numpy_helper.from_array(np.array([0, 2], np.int64), "at"),
        [3],
    )
    forms = {
        "value": dict(value=tensor),
        "value_float": dict(value_float=1.5),
        "value_floats": dict(value_floats=[1.0, 2.0, -3.0]),
        "value_int": dict(value_int=3),
        "value_ints": dict(value_ints=[2, -1, 4]),
        "sparse_value": dict(sparse_value=sparse),
    }
    for (value, attributes), k in itertools.product(forms.items(), range(2)):
        g = Graph("Constant", value, k)
        constant = g("Constant", **attributes)
        x = g.x(3) if "int" not in value else g.x(data=g.ints(g.rows, 3))
        yield g.out(g("Mul" if k else "Add", x, constant)).done()
    for dtype, k in itertools.product((np.float64, np.float16), range(2)):
        g = Graph("Constant", f"{np.dtype(dtype).name}, cast", k)
        constant = g("Cast", g("Constant", value=numpy_helper.from_array(np.array([0.5, 2.0], dtype))), to=1)
        yield g.out(g("Mul" if k else "Add", g.x(2), constant)).done()


EQUATIONS = {
    "nd,dk->nk": (("N", 4), (4, 3), "const"),
    "nld,nd->nl": (("N", 5, 4), ("N", 4), "x"),
    "nl,nld->nd": (("N", 5), ("N", 5, 4), "x"),
    "nld,dk->nlk": (("N", 5, 4), (4, 3), "const"),
    "bhid,bhjd->bhij": (("N", 2, 3, 4), ("N", 2, 5, 4), "x"),
    "bhij,bhjd->bhid": (("N", 2, 3, 5), ("N", 2, 5, 4), "x"),
    "nd,nd->n": (("N", 6), ("N", 6), "x"),
    "ni,nj->nij": (("N", 3), ("N", 4), "x"),
    "nd,ekd->nek": (("N", 4), (2, 3, 4), "const"),
    "ne,nek->nk": (("N", 3), ("N", 3, 4), "x"),
    "...d,dk->...k": (("N", 2, 4), (4, 3), "const"),
    "nd,md->nm": (("N", 4), (5, 4), "const"),
}


def _einsum():
    for (equation, (left, right, how)), k in itertools.product(EQUATIONS.items(), range(2)):
        g = Graph("Einsum", equation, k)
        x = g.x(*left[1:])
        shape = [g.rows if d == "N" else d for d in right]
        b = g.const(g.floats(*shape)) if how == "const" else g.x(name="Z", data=g.floats(*shape))
        written = equation if k == 0 else equation.replace(",", ", ").replace("->", " -> ")
        y = g("Einsum", x, b, equation=written)
        yield g.direct(y).done() if k == 0 else g.out(g("Relu", y)).done()
    for (equation, shape), k in itertools.product(
        {"nij->nji": (3, 4), "nij->ni": (3, 4), "nii->ni": (4, 4)}.items(), range(2)
    ):
        g = Graph("Einsum", equation, k)
        yield g.out(g("Einsum", g.x(*shape), equation=equation)).done()
    for k in range(2):
        g = Graph("Einsum", "three operands", k)
        yield g.out(g("Einsum", g.x(3), g.const(g.floats(3, 4)), g.x(4, name="Z"), equation="ni,ij,nj->n")).done()
        g = Graph("Einsum", "nd,md->nm computed: list-wise", k)
        yield g.out(g("Einsum", g.x(3), g.x(3, name="Z"), equation="nd,md->nm")).done()
