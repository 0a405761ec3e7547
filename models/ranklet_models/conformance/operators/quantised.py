"""Quantised weights and activations."""

import itertools

import numpy as np

from ..graph import Graph

TYPES = {"uint8": np.uint8, "int8": np.int8}


def cases():
    for (name, dtype), k in itertools.product(TYPES.items(), range(2)):
        zero = 12 if dtype is np.uint8 else -3
        g = Graph("QuantizeLinear", f"{name}, per tensor", k).covers("DequantizeLinear", f"{name}, per tensor")
        yield _round_trip(g, g.x(6 + k, scale=4.0), np.float32(0.05 * (k + 1)), np.array(zero, dtype)).done()
        g = Graph("QuantizeLinear", f"{name}, per axis", k).covers("DequantizeLinear", f"{name}, per axis")
        scales = g.floats(5, low=0.02, high=0.2)
        zeros = g.ints(5, low=0, high=20).astype(dtype)
        yield _round_trip(g, g.x(5, scale=3.0) if k == 0 else g.x(2, 5, scale=3.0), scales, zeros, axis=-1).done()
        g = Graph("DequantizeLinear", f"{name} weights of a dense layer", k)
        weights = (
            g.rng.integers(-100, 100, size=(6, 4)).astype(dtype)
            if dtype is np.int8
            else g.ints(6, 4, low=0, high=255).astype(dtype)
        )
        scale, zeros = (
            (np.float32(0.02), dtype(3))
            if k == 0
            else (g.floats(4, low=0.01, high=0.05), g.ints(4, low=0, high=9).astype(dtype))
        )
        w = g("DequantizeLinear", g.const(weights), g.const(scale), g.const(zeros), **({"axis": 1} if k else {}))
        yield g.out(g("Gemm", g.x(6), w, g.const(g.floats(4)))).done()
    for k in range(2):
        yield _all_quantised(k)
        yield _dynamic(k, False)
        yield _dynamic(k, True)
        g = Graph("QuantizeLinear", "no zero point", k)
        scale = np.float32(0.1)
        q = g("QuantizeLinear", g.x(5 + k, low=0, high=20), g.const(scale))
        yield g.out(g("DequantizeLinear", q, g.const(scale))).done()
        g = Graph("DequantizeLinear", "int32 bias", k)
        bias = g("DequantizeLinear", g.const(g.ints(4, low=-900, high=900), np.int32), g.const(np.float32(0.003)))
        yield g.out(g("Gemm", g.x(5 + k), g.const(g.floats(5 + k, 4)), bias)).done()
        g = Graph("DynamicQuantizeLinear", "shared input", k)
        q, scale, zero = g("DynamicQuantizeLinear", g.shared(6, scale=2.0), outputs=3)
        y = g("DequantizeLinear", q, scale, zero)
        yield g.out(g("Mul", g.x(6), y) if k == 0 else g("Add", y, g.x(6))).done()


def _round_trip(g, x, scale, zero, **attributes):
    operands = [g.const(scale), g.const(zero)]
    q = g("QuantizeLinear", x, *operands, **attributes)
    return g.out(g("DequantizeLinear", q, *operands, **attributes))


def _all_quantised(k):
    """A dense layer between quantise and dequantise nodes, as static quantisation writes it."""
    g = Graph("QuantizeLinear", "QDQ around a dense layer", k).covers("DequantizeLinear", "QDQ around a dense layer")
    kind = np.uint8 if k == 0 else np.int8
    inner = [g.const(np.float32(0.03)), g.const(kind(100 if k == 0 else 0))]
    x = g("DequantizeLinear", g("QuantizeLinear", g.x(8), *inner), *inner)
    weights = [g.const(g.ints(8, 3, low=-90, high=90).astype(np.int8)), g.const(np.float32(0.01)), g.const(np.int8(0))]
    product = g("MatMul", x, g("DequantizeLinear", *weights))
    return g.out(g("Add", product, g.const(g.floats(3)))).done()


def _dynamic(k, both):
    """Dynamic quantisation takes the range over all candidates, so it is list-wise."""
    value = "zero points of both" if both else "zero point of the left"
    g = Graph("DynamicQuantizeLinear", f"into MatMulInteger, {value}: list-wise", k)
    g.covers("MatMulInteger", value)
    q, scale, zero = g("DynamicQuantizeLinear", g.x(8), outputs=3)
    weights = g.const(g.ints(8, 3, low=-90, high=90).astype(np.int8))
    product = g("MatMulInteger", q, weights, zero, *([g.const(np.int8(5 - 9 * k))] if both else []))
    factor = g("Mul", scale, g.const(np.float32(0.02)))
    return g.out(g("Mul", g("Cast", product, to=1), factor)).done()
