"""Arithmetic, comparison, logic, Where, Cast: two values and more."""

import itertools

import numpy as np

from ..graph import Graph

F32, I32, I64 = np.float32, np.int32, np.int64
NAMES = {F32: "f32", I32: "i32", I64: "i64"}
ARITHMETIC = ("Add", "Sub", "Mul", "Div")
COMPARISON = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")
LOGIC = ("And", "Or", "Xor")
VARIADIC = ("Min", "Max", "Sum", "Mean")
# shape of the right operand beside X [N, 3, 4]; "N" a row per candidate
BROADCASTS = {
    "same": ("N", 3, 4),
    "constant []": (),
    "constant [4]": (4,),
    "constant [3, 1]": (3, 1),
    "shared [1, 3, 4]": (1, 3, 4),
    "per candidate [N, 1, 4]": ("N", 1, 4),
    "per candidate [N, 1, 1]": ("N", 1, 1),
}


def cases():
    for name in ARITHMETIC:
        for dtype, k in itertools.product((F32, I32, I64), range(2)):
            yield _typed(name, dtype, k)
        for value, k in itertools.product(BROADCASTS, range(2)):
            yield _broadcast(name, value, k)
    for name in COMPARISON:
        for dtype, k in itertools.product((F32, I32, I64), range(2)):
            yield _typed(name, dtype, k, special=0.3)
    yield from _comparison_broadcasts()
    yield from _logic()
    yield from _variadic()
    yield from _mod()
    yield from _pow()
    yield from _where()
    yield from _cast()


def _operand(g, dtype, shape, *, special=0.0, nonzero=False):
    if dtype is F32:
        data = g.floats(*shape, special=special)
        return np.where(np.abs(data) < 0.1, F32(0.5), data) if nonzero else data
    data = g.ints(*shape, dtype=dtype)
    return np.where(data == 0, dtype(3), data) if nonzero else data


def _typed(name, dtype, k, special=0.2):
    g = Graph(name, NAMES[dtype], k)
    divides = name == "Div"
    shape = (g.rows, 6) if k == 0 else (g.rows, 2, 3)
    a = g.x(data=_operand(g, dtype, shape, special=special if k == 0 and not divides else 0.0))
    if k == 0:
        b = g.x(name="Z", data=_operand(g, dtype, shape, special=special, nonzero=divides and dtype is not F32))
    else:
        b = g.const(_operand(g, dtype, shape[1:], nonzero=divides))
    return g.direct(g(name, a, b)).done()


def _broadcast(name, value, k):
    g = Graph(name, value, k)
    shape = tuple(g.rows if d == "N" else d for d in BROADCASTS[value])
    data = _operand(g, F32, shape, nonzero=name == "Div")
    a = g.x(3, 4, low=0.5, high=2.0) if k == 0 or name == "Div" else g.x(3, 4)
    if "N" in BROADCASTS[value]:
        b = g.x(name="Z", data=data)
    elif value.startswith("shared"):
        b = g.shared(data=data)
    else:
        b = g.const(data)
    # The second graph has the operands the other way round, where that divides by no zero.
    pair = (a, b) if k == 0 else (b, a)
    return g.direct(g(name, *pair)).done()


def _comparison_broadcasts():
    for name, k in itertools.product(COMPARISON, range(2)):
        g = Graph(name, "shared operand", k)
        s = g.shared(data=g.ints(1, 5, low=-2, high=3).astype(F32))
        x = g.x(data=g.ints(g.rows, 5, low=-2, high=3).astype(F32))
        pair = (x, s) if k == 0 else (s, x)
        yield g.out(g("Cast", g(name, *pair), to=1)).done()
    for k in range(2):
        g = Graph("Equal", "bool", k)
        x = g.x(data=g.bools(g.rows, 4 + k))
        yield g.direct(g("Equal", x, g.x(name="Z", data=g.bools(g.rows, 4 + k)))).done()


def _logic():
    for name, k in itertools.product(LOGIC, range(2)):
        g = Graph(name, "", k)
        a = g.x(data=g.bools(g.rows, 3, 2)[:, : 3 - k])
        b = g.x(name="Z", data=g.bools(g.rows, 3 - k, 2)) if k == 0 else g.shared(data=g.bools(1, 1, 2))
        yield g.direct(g(name, a, b)).done()
    for k in range(2):
        g = Graph("Not", "", k)
        x = g.x(data=g.bools(g.rows, 5)) if k == 0 else g("Greater", g.x(4, 2), g.const(0.1))
        yield g.direct(g("Not", x)).done()


def _variadic():
    for name, count, k in itertools.product(VARIADIC, (1, 2, 3), range(2)):
        g = Graph(name, f"{count} inputs", k)
        operands = [g.x(5, special=0.2 * (1 - k))]
        if count > 1:
            operands.append(g.x(5, name="Z", special=0.2) if k == 0 else g.const(g.floats(5)))
        if count > 2:
            operands.append(g.const(g.floats(1, 5)) if k == 0 else g.shared(1))
        yield g.direct(g(name, *operands)).done()
    for name, dtype, k in itertools.product(("Min", "Max"), (I32, I64), range(2)):
        g = Graph(name, NAMES[dtype], k)
        a = g.x(data=g.ints(g.rows, 4, dtype=dtype))
        b = g.x(name="Z", data=g.ints(g.rows, 4, dtype=dtype)) if k == 0 else g.const(g.ints(4, dtype=dtype))
        yield g.direct(g(name, a, b)).done()


def _mod():
    for (fmod, dtype), k in itertools.product(((0, I32), (0, I64), (1, I32), (1, I64), (1, F32)), range(2)):
        g = Graph("Mod", f"fmod={fmod} {NAMES[dtype]}", k)
        a = g.x(data=_operand(g, dtype, (g.rows, 5)) * dtype(3))
        divisor = _operand(g, dtype, (g.rows, 5) if k == 0 else (5,), nonzero=True)
        b = g.x(name="Z", data=divisor) if k == 0 else g.const(divisor)
        yield g.direct(g("Mod", a, b, fmod=fmod)).done()


def _pow():
    for exponent, k in itertools.product((0.0, 0.5, 1.0, 2.0, 3.0, -1.0, 2.5), range(2)):
        g = Graph("Pow", f"exponent {exponent:g}", k)
        x = g.x(4 + k, low=0.1, high=4.0) if exponent % 1 or k == 0 else g.x(5)
        yield g.direct(g("Pow", x, g.const(exponent))).done()
    for k in range(2):
        g = Graph("Pow", "computed exponent", k)
        exponent = g.x(5, name="Z") if k == 0 else g.shared(5)
        yield g.direct(g("Pow", g.x(5, low=0.2, high=3.0), exponent)).done()
        g = Graph("Pow", "f32 by i64", k)
        yield g.direct(g("Pow", g.x(5 + k), g.const(2 + k))).done()
        for dtype in (I32, I64):
            g = Graph("Pow", f"{NAMES[dtype]}", k)
            yield g.direct(g("Pow", g.x(data=g.ints(g.rows, 3, dtype=dtype)), g.const(2 + k, dtype))).done()


def _where():
    for dtype, k in itertools.product((F32, I32, I64), range(2)):
        g = Graph("Where", NAMES[dtype], k)
        a = g.x(data=_operand(g, dtype, (g.rows, 2, 4), special=0.3))
        b = g.x(name="Z", data=_operand(g, dtype, (g.rows, 2, 4), special=0.3)) if k == 0 else g.const(dtype(-1))
        condition = g.x(name="C", data=g.bools(g.rows, 2, 4)) if k == 0 else g.shared(data=g.bools(1, 2, 1))
        yield g.direct(g("Where", condition, a, b)).done()
    for k in range(2):
        g = Graph("Where", "mask from a comparison", k)
        x = g.x(6, special=0.3)
        mask = g("IsNaN", x) if k == 0 else g("Less", x, g.const(0.0))
        yield g.out(g("Where", mask, g.const(g.floats(6)), x)).done()
        g = Graph("Where", "constant condition", k)
        pair = [g.x(2 + k), g.x(2 + k, name="Z")]
        yield g.direct(g("Where", g.const(np.arange(2 + k) % 2 == 0), *pair)).done()


KINDS = {"f32": (1, F32), "i32": (6, I32), "i64": (7, I64), "bool": (9, np.bool_)}


def _cast():
    for (source, (_, dtype)), (target, (code, _)) in itertools.product(KINDS.items(), KINDS.items()):
        for k in range(2):
            g = Graph("Cast", f"{source} to {target}", k)
            data = g.floats(g.rows, 4 + k, scale=4.0) * g.bools(g.rows, 4 + k)
            if source != "f32":
                data = data.astype(dtype)
            yield g.direct(g("Cast", g.x(data=data), to=code)).done()
