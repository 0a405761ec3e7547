"""Activations and elementwise functions of one value."""

import numpy as np

from ..graph import Graph

# operator, attribute value, attributes, opset, and the inputs: None for any, special values among them, where the
# operator stands alone; else the domain [low, high) or the share of special values in both graphs
FUNCTIONS = [
    ("Relu", "", {}, 17, None),
    ("LeakyRelu", "alpha default", {}, 17, None),
    ("LeakyRelu", "alpha=0.2", {"alpha": 0.2}, 17, None),
    ("Elu", "alpha default", {}, 17, None),
    ("Elu", "alpha=0.5", {"alpha": 0.5}, 17, None),
    ("Selu", "default", {}, 17, None),
    ("Selu", "alpha, gamma", {"alpha": 1.5, "gamma": 0.9}, 17, None),
    ("Celu", "alpha default", {}, 17, None),
    ("Celu", "alpha=2", {"alpha": 2.0}, 17, None),
    ("Gelu", "approximate=none", {}, 20, None),
    ("Gelu", "approximate=tanh", {"approximate": "tanh"}, 20, None),
    ("HardSigmoid", "default", {}, 17, None),
    ("HardSigmoid", "alpha, beta", {"alpha": 1 / 6, "beta": 0.4}, 17, None),
    ("HardSwish", "", {}, 17, None),
    ("Mish", "", {}, 18, None),
    ("Softplus", "", {}, 17, None),
    ("Softsign", "", {}, 17, None),
    ("Sigmoid", "", {}, 17, 0.0),
    ("Tanh", "", {}, 17, 0.0),
    ("Erf", "", {}, 17, 0.0),
    ("ThresholdedRelu", "alpha default", {}, 17, None),
    ("ThresholdedRelu", "alpha=0.3", {"alpha": 0.3}, 17, None),
    ("Shrink", "default", {}, 17, None),
    ("Shrink", "bias, lambd", {"bias": 0.2, "lambd": 0.4}, 17, None),
    ("Swish", "alpha default", {}, 24, None),
    ("Swish", "alpha=1.7", {"alpha": 1.7}, 24, None),
    ("Exp", "", {}, 17, 0.2),
    ("Log", "", {}, 17, (1e-3, 50.0)),
    ("Sqrt", "", {}, 17, (0.0, 100.0)),
    ("Reciprocal", "", {}, 17, 0.2),
    ("Abs", "", {}, 17, 0.2),
    ("Neg", "", {}, 17, 0.2),
    ("Sign", "", {}, 17, None),
    ("Floor", "", {}, 17, 0.2),
    ("Ceil", "", {}, 17, 0.2),
    ("Sin", "", {}, 17, None),
    ("Cos", "", {}, 17, None),
    ("Tan", "", {}, 17, (-1.4, 1.4)),
    ("Asin", "", {}, 17, (-1.0, 1.0)),
    ("Acos", "", {}, 17, (-1.0, 1.0)),
    ("Atan", "", {}, 17, None),
    ("Sinh", "", {}, 17, None),
    ("Cosh", "", {}, 17, None),
    ("Asinh", "", {}, 17, None),
    ("Acosh", "", {}, 17, (1.0, 30.0)),
    ("Atanh", "", {}, 17, (-0.99, 0.99)),
    ("Identity", "", {}, 17, 0.2),
    ("IsNaN", "", {}, 17, 0.4),
    ("IsInf", "default", {}, 17, 0.4),
    ("IsInf", "detect_negative=0", {"detect_negative": 0}, 17, 0.4),
    ("IsInf", "detect_positive=0", {"detect_positive": 0}, 17, 0.4),
    ("Dropout", "inference", {}, 17, 0.0),
]


def cases():
    for name, value, attributes, opset, drawn in FUNCTIONS:
        yield _alone(name, value, attributes, opset, drawn)
        yield _in_a_stack(name, value, attributes, opset, drawn)
    yield from _rounding()
    yield from _prelu()
    yield from _clip()
    yield from _patterns()
    yield from _integers()
    yield from _old_opsets()


def _drawn(g, drawn, *shape):
    if isinstance(drawn, tuple):
        return g.x(*shape, low=drawn[0], high=drawn[1])
    return g.x(*shape, scale=3.0, special=drawn or 0.0)


def _alone(name, value, attributes, opset, drawn):
    g = Graph(name, value, 0, opset=opset)
    y = g(name, _drawn(g, 0.2 if drawn is None else drawn, 9), **attributes)
    return g.direct(y).done()


def _in_a_stack(name, value, attributes, opset, drawn):
    """Between two dense layers; what has a domain of its own, or gives no floats, on a shared part of rank 3."""
    g = Graph(name, value, 1, opset=opset)
    if drawn is not None:
        y = g(name, _drawn(g, drawn, 2, 5), **attributes)
        return g.out(y).done()
    hidden = g("Gemm", g.x(12), g.const(g.floats(12, 16, scale=0.4)), g.const(g.floats(16, scale=0.2)))
    acted = g(name, hidden, **attributes)
    y = g("Gemm", acted, g.const(g.floats(16, 3, scale=0.3)), g.const(g.floats(3)))
    return g.out(y).done()


def _rounding():
    for k in range(2):
        g = Graph("Round", "half to even", k)
        halves = g.ints(g.rows, 6, low=-9, high=10).astype(np.float32) / 2
        yield g.direct(g("Round", g.x(data=halves if k == 0 else halves + g.floats(g.rows, 6, scale=3)))).done()


def _prelu():
    for value, shape in (("slope [1]", (1,)), ("slope [C]", (7,)), ("slope [1, C]", (1, 7)), ("slope [C, 1]", (3, 1))):
        for k in range(2):
            g = Graph("PRelu", value, k)
            inner = (3, 7) if k or shape == (3, 1) else (7,)
            yield g.direct(g("PRelu", g.x(*inner), g.const(g.floats(*shape, scale=0.3)))).done()


def _clip():
    forms = {"min, max": (-0.5, 0.7), "min": (-0.25, None), "max": (None, 0.25), "none": (None, None)}
    for value, (low, high) in forms.items():
        for k in range(2):
            g = Graph("Clip", value, k)
            bounds = ["" if b is None else g.const(b) for b in (low, high)]
            x = g.x(5, special=0.2) if k == 0 else g("Mul", g.x(2, 5), g.shared(2, 5))
            while bounds and bounds[-1] == "":
                bounds.pop()
            yield g.out(g("Clip", x, *bounds)).done()
    for dtype in (np.int32, np.int64):
        for k in range(2):
            g = Graph("Clip", np.dtype(dtype).name, k)
            x = g.x(data=g.ints(g.rows, 4 + k, low=-20, high=20, dtype=dtype))
            yield g.direct(g("Clip", x, g.const(-4, dtype), g.const(9 + k, dtype))).done()


def _patterns():
    """Activations as PyTorch's exporter writes them where the opset has no operator for them."""
    for k in range(2):
        for name, write in PATTERNS.items():
            g = Graph("pattern", name, k)
            x = g.x(8, scale=2.0) if k == 0 else g("MatMul", g.x(6), g.const(g.floats(6, 10, scale=0.5)))
            yield g.out(write(g, x)).done()


def _gelu_erf(g, x):
    inner = g("Erf", g("Div", x, g.const(2**0.5)))
    return g("Mul", g("Mul", x, g("Add", inner, g.const(1.0))), g.const(0.5))


def _gelu_tanh(g, x):
    cube = g("Mul", g("Pow", x, g.const(3.0)), g.const(0.044715))
    inner = g("Tanh", g("Mul", g("Add", x, cube), g.const((2 / np.pi) ** 0.5)))
    return g("Mul", g("Mul", x, g.const(0.5)), g("Add", inner, g.const(1.0)))


def _mish(g, x):
    return g("Mul", x, g("Tanh", g("Softplus", x)))


def _dice(g, x):
    """The activation of DIN: p x + (1 - p) alpha x, p the sigmoid of the normalised x."""
    width = 8 if g.name.endswith("0") else 10
    statistics = [
        g.const(v) for v in (np.ones(width), np.zeros(width), g.floats(width), g.floats(width, low=0.5, high=2))
    ]
    p = g("Sigmoid", g("BatchNormalization", x, *statistics))
    rest = g("Mul", g("Mul", g("Sub", g.const(1.0), p), g.const(g.floats(width, scale=0.2))), x)
    return g("Add", g("Mul", p, x), rest)


PATTERNS = {
    "Gelu erf": _gelu_erf,
    "Gelu tanh": _gelu_tanh,
    "Silu": lambda g, x: g("Mul", x, g("Sigmoid", x)),
    "Mish": _mish,
    "Relu6": lambda g, x: g("Clip", x, g.const(0.0), g.const(6.0)),
    "LogSigmoid": lambda g, x: g("Neg", g("Softplus", g("Neg", x))),
    "Dice": _dice,
}


def _integers():
    for name in ("Abs", "Neg", "Sign"):
        for dtype in (np.int32, np.int64):
            for k in range(2):
                g = Graph(name, np.dtype(dtype).name, k)
                yield g.direct(g(name, g.x(data=g.ints(g.rows, 5 + k, dtype=dtype)))).done()


def _old_opsets():
    """Graphs written by older exporters."""
    for k in range(2):
        g = Graph("Clip", "opset 6 attributes", k, opset=9)
        yield g.direct(g("Clip", g.x(6 + k), min=-0.5, max=0.5 + k)).done()
        g = Graph("Dropout", "opset 9, ratio", k, opset=9)
        yield g.direct(g("Dropout", g.x(6 + k), ratio=0.3)).done()
        g = Graph("Dropout", "ratio and training_mode given", k)
        yield g.direct(g("Dropout", g.x(5 + k), g.const(0.4), g.const(False))).done()
