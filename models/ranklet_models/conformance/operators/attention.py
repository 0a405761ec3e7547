"""Multi-head attention as PyTorch exports it, and ONNX's own operator."""

import itertools

import numpy as np

from ..graph import Graph

WIDTH, HEADS, STEPS = 8, 2, 5


def cases():
    for (value, write), k in itertools.product(FORMS.items(), range(2)):
        g = Graph("multi-head attention", value, k)
        write(g, k)
        yield g.done()
    yield from _operator()


def project(g, x, inputs=WIDTH, outputs=WIDTH):
    """A dense layer over the last axis, as nn.Linear on rank 3 is exported."""
    product = g("MatMul", x, g.const(g.floats(inputs, outputs, scale=inputs**-0.5)))
    return g("Add", g.const(g.floats(outputs, scale=0.1)), product)


def heads(g, x, steps, rows=-1):
    """`[rows, steps, WIDTH]` -> `[rows, HEADS, steps, WIDTH / HEADS]`."""
    split = g("Reshape", x, g.const([rows, steps, HEADS, WIDTH // HEADS]))
    return g("Transpose", split, perm=[0, 2, 1, 3])


def attend(g, q, k, v, steps, *, mask=None, rows=-1):
    """softmax(q k^T / sqrt(d) + mask) v, heads joined again: `[rows, steps, WIDTH]`."""
    scale = g.const((WIDTH // HEADS) ** -0.25)
    turned = g("Transpose", k, perm=[0, 1, 3, 2])
    scores = g("MatMul", g("Mul", q, scale), g("Mul", turned, scale))
    if mask is not None:
        scores = g("Add", scores, mask)
    joined = g("Transpose", g("MatMul", g("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    return g("Reshape", joined, g.const([rows, steps, WIDTH]))


def _self_attention(g, k):
    x = g.x(STEPS + k, WIDTH)
    q, key, v = (heads(g, project(g, x), STEPS + k) for _ in range(3))
    g.out(project(g, attend(g, q, key, v, STEPS + k)))


def _causal(g, k):
    x = g.x(STEPS, WIDTH)
    q, key, v = (heads(g, project(g, x), STEPS) for _ in range(3))
    mask = np.triu(np.full((STEPS, STEPS), -np.inf if k else -1e9, np.float32), 1)
    g.out(attend(g, q, key, v, STEPS, mask=g.const(mask)))


def _padding(g, k):
    x = g.x(STEPS, WIDTH)
    valid = np.arange(STEPS)[None, :] < g.ints(g.rows, 1, low=1, high=STEPS + 1)
    if k == 0:
        valid = g.x(name="mask", data=valid.astype(np.float32))
        mask = g("Mul", g("Sub", g.const(1.0), valid), g.const(-1e9))
    else:
        mask = g("Where", g.x(name="mask", data=valid), g.const(0.0), g.const(-np.inf))
    mask = g("Unsqueeze", mask, g.const([1, 2]))
    q, key, v = (heads(g, project(g, x), STEPS) for _ in range(3))
    g.out(attend(g, q, key, v, STEPS, mask=mask))


def _cross(g, k):
    """The candidate asks, the shared history answers."""
    item, history = g.x(WIDTH), g.shared(STEPS, WIDTH)
    q = heads(g, project(g, g("Unsqueeze", item, g.const([1]))), 1)
    key, v = (heads(g, project(g, history), STEPS, rows=1) for _ in range(2))
    y = attend(g, q, key, v, 1)
    g.out(g("Squeeze", y, g.const([1])) if k == 0 else project(g, y))


def _packed(g, k):
    """One dense layer for q, k and v, split afterwards."""
    packed = project(g, g.x(STEPS, WIDTH), WIDTH, 3 * WIDTH)
    if k == 0:
        q, key, v = (heads(g, part, STEPS) for part in g("Split", packed, outputs=3, axis=-1))
    else:
        split = g("Reshape", packed, g.const([0, 0, 3, HEADS, WIDTH // HEADS]))
        turned = g("Transpose", split, perm=[2, 0, 3, 1, 4])
        q, key, v = (g("Gather", turned, g.const(i), axis=0) for i in range(3))
    g.out(attend(g, q, key, v, STEPS))


def _einsum(g, k):
    x = g.x(STEPS + k, WIDTH)
    q, key, v = (
        g("Einsum", x, g.const(g.floats(WIDTH, HEADS, WIDTH // HEADS, scale=0.4)), equation="nld,dhe->nlhe")
        for _ in range(3)
    )
    weights = g("Softmax", g("Einsum", q, key, equation="nihe,njhe->nhij"), axis=-1)
    mixed = g("Einsum", weights, v, equation="nhij,njhe->nihe")
    g.out(g("Reshape", mixed, g.const([0, 0, -1])))


def _additive(g, k):
    """Bahdanau: v^T tanh(W q + U h)."""
    h, q = g.x(STEPS, WIDTH), g.x(WIDTH, name="Z") if k == 0 else g.shared(WIDTH)
    mixed = g("Tanh", g("Add", project(g, h), g("Unsqueeze", project(g, q), g.const([1]))))
    weights = g("Softmax", g("MatMul", mixed, g.const(g.floats(WIDTH, 1))), axis=1)
    g.out(g("ReduceSum", g("Mul", weights, h), g.const([1]), keepdims=0))


def _listwise(g, k):
    """Candidates attend to each other."""
    x = g.x(WIDTH)
    q, key, v = (
        g("Transpose", g("Reshape", project(g, x), g.const([-1, HEADS, WIDTH // HEADS])), perm=[1, 0, 2])
        for _ in range(3)
    )
    scores = g("Mul", g("MatMul", q, g("Transpose", key, perm=[0, 2, 1])), g.const((WIDTH // HEADS) ** -0.5))
    mixed = g("Transpose", g("MatMul", g("Softmax", scores, axis=-1), v), perm=[1, 0, 2])
    joined = g("Reshape", mixed, g.const([-1, WIDTH]))
    g.out(g("Add", x, project(g, joined)) if k == 0 else g("Squeeze", project(g, joined, WIDTH, 1), g.const([1])))


FORMS = {
    "self": _self_attention,
    "causal mask": _causal,
    "padding mask": _padding,
    "candidate against history": _cross,
    "packed q, k, v": _packed,
    "einsum": _einsum,
    "additive": _additive,
    "over candidates: list-wise": _listwise,
}


def _operator():
    forms = {"rank 4": {}, "is_causal=1": {"is_causal": 1}, "scale=0.3": {"scale": 0.3}, "softcap=2": {"softcap": 2.0}}
    for (value, attributes), k in itertools.product(forms.items(), range(2)):
        g = Graph("Attention", value, k, opset=23)
        q, key, v = (g.x(2, STEPS, 4 + k, name=name) for name in "QKV")
        yield g.out(g("Attention", q, key, v, **attributes)).done()
    for k in range(2):
        g = Graph("Attention", "rank 3", k, opset=23)
        q, key, v = (g.x(STEPS, WIDTH, name=name) for name in "QKV")
        yield g.out(g("Attention", q, key, v, q_num_heads=2 + 2 * k, kv_num_heads=2 + 2 * k)).done()
        g = Graph("Attention", "mask", k, opset=23)
        q, key, v = (g.x(2, STEPS, 4, name=name) for name in "QKV")
        mask = g.const(np.tril(np.ones((STEPS, STEPS), bool))) if k == 0 else g.const(g.floats(STEPS, STEPS))
        yield g.out(g("Attention", q, key, v, mask)).done()
