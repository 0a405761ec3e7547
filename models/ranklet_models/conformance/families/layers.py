"""Layers that several families share."""

import numpy as np

from ..graph import Graph

VOCABULARY = 40


def start(family, k, **options):
    """An empty graph of a family."""
    return Graph("model", family, k, **options)


def linear(g, x, inputs, outputs):
    """nn.Linear on rank 2."""
    w, b = g.const(g.floats(outputs, inputs, scale=inputs**-0.5)), g.const(g.floats(outputs, scale=0.1))
    return g("Gemm", x, w, b, transB=1)


def linear3(g, x, inputs, outputs, bias=True):
    """nn.Linear on a higher rank."""
    product = g("MatMul", x, g.const(g.floats(inputs, outputs, scale=inputs**-0.5)))
    return g("Add", g.const(g.floats(outputs, scale=0.1)), product) if bias else product


def mlp(g, x, *widths, activation="Relu", last=None):
    """Dense layers with an activation between them, and `last` at the end if given."""
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        x = linear(g, x, inputs, outputs)
        end = layer == len(widths) - 2
        if not end or last:
            x = g(last if end else activation, x)
    return x


def embedding(g, ids, width, vocabulary=VOCABULARY):
    """nn.Embedding."""
    return g("Gather", g.const(g.floats(vocabulary, width, scale=0.3)), ids)


def ids(g, *shape, name, shared=False):
    """An input of ids, i64."""
    data = g.ints(1 if shared else g.rows, *shape, low=0, high=VOCABULARY)
    return g.given(name, data) if shared else g.x(name=name, data=data)


def fields(g, count, width, name="ids"):
    """`count` categorical columns embedded in one table each: `[N, count, width]`."""
    columns = ids(g, count, name=name)
    parts = []
    for column in range(count):
        one = g("Gather", columns, g.const(column), axis=1)
        parts.append(g("Unsqueeze", embedding(g, one, width), g.const([1])))
    return g("Concat", *parts, axis=1)


def norm(g, x, width):
    """nn.LayerNorm."""
    return g(
        "LayerNormalization",
        x,
        g.const(g.floats(width, low=0.8, high=1.2)),
        g.const(g.floats(width, scale=0.1)),
        axis=-1,
        epsilon=1e-5,
    )


def broadcast(g, shared, like, *, width):
    """A shared `[1, width]` once for each candidate, as x.expand(n, -1) is exported."""
    rows = g("Unsqueeze", g("Gather", g("Shape", like), g.const(0), axis=0), g.const([0]))
    return g("Expand", shared, g("Concat", rows, g.const([width]), axis=0))


def causal(steps):
    """Added to scores: minus infinity where the past would see the future."""
    return np.triu(np.full((steps, steps), -np.inf, np.float32), 1)
