"""Models of a history: DIN, DIEN's first half, SASRec, GRU4Rec, BST."""

import numpy as np

from ..operators.attention import WIDTH, attend, heads, project
from .layers import causal, embedding, ids, linear, linear3, mlp, norm, start

STEPS = 6


def _lengths(g, shared=True):
    """A mask input `[1 or N, STEPS]`: 1 where there is an event, padded in front as recommenders do."""
    rows = 1 if shared else g.rows
    lengths = g.ints(rows, 1, low=1, high=STEPS + 1)
    data = (np.arange(STEPS)[None, :] >= STEPS - lengths).astype(np.float32)
    return g.given("mask", data) if shared else g.x(name="mask", data=data)


def din(family, k):
    """A candidate weighs the request's history by an activation unit of concat(q, h, q - h, q * h)."""
    g = start(family, k)
    history = g.shared(STEPS, WIDTH, name="history")
    mask = _lengths(g)
    if k == 0:
        q = g.x(WIDTH, name="candidates")
    else:
        q = embedding(g, ids(g, name="item"), WIDTH)
    rows = g("Unsqueeze", g("Gather", g("Shape", q), g.const(0), axis=0), g.const([0]))
    whole = g("Concat", rows, g.const([STEPS, WIDTH]), axis=0)
    wide_q = g("Expand", g("Unsqueeze", q, g.const([1])), whole)
    wide_h = g("Expand", history, whole)
    unit = g("Concat", wide_q, wide_h, g("Sub", wide_q, wide_h), g("Mul", wide_q, wide_h), axis=-1)
    hidden = linear3(g, unit, 4 * WIDTH, 12)
    hidden = g("PRelu", hidden, g.const(g.floats(1, low=0.1, high=0.3))) if k == 0 else g("Sigmoid", hidden)
    weights = g("Squeeze", linear3(g, hidden, 12, 1), g.const([-1]))
    if k == 0:
        weights = g("Mul", weights, mask)
        pooled = g("ReduceSum", g("Mul", g("Unsqueeze", weights, g.const([-1])), history), g.const([1]), keepdims=0)
    else:
        empty = g("Equal", mask, g.const(0.0))
        weights = g("Softmax", g("Where", empty, g.const(-4294967295.0), weights), axis=1)
        pooled = g("Squeeze", g("MatMul", g("Unsqueeze", weights, g.const([1])), history), g.const([1]))
    x = g("Concat", q, pooled, g("Mul", q, pooled), axis=1)
    return g.out(mlp(g, x, 3 * WIDTH, 16, 8, 1, last="Sigmoid")).done()


def din_candidate_histories(family, k):
    """Each candidate brings its own history of ids."""
    g = start(family, k)
    table = g.const(g.floats(40, WIDTH, scale=0.4))
    q = g("Gather", table, ids(g, name="item"))
    events = ids(g, STEPS, name="events")
    h = g("Gather", table, events)
    scores = g("Squeeze", g("MatMul", h, g("Unsqueeze", q, g.const([2]))), g.const([2]))
    if k == 0:
        scores = g("Where", g("Equal", events, g.const(0)), g.const(-1e9), scores)
    else:
        scores = g("Add", scores, g("Mul", g("Sub", g.const(1.0), _lengths(g, shared=False)), g.const(-1e9)))
    pooled = g(
        "ReduceSum", g("Mul", h, g("Unsqueeze", g("Softmax", scores, axis=1), g.const([2]))), g.const([1]), keepdims=0
    )
    return g.out(mlp(g, g("Concat", q, pooled, axis=1), 2 * WIDTH, 12, 1)).done()


def sasrec(family, k):
    """The request's history through a causal encoder; candidates by their embedding times the last state."""
    g = start(family, k)
    table = g.const(g.floats(40, WIDTH, scale=0.4))
    events = ids(g, STEPS, name="events", shared=True)
    positions = g(
        "Gather", g.const(g.floats(STEPS, WIDTH, scale=0.2)), g("Range", g.const(0), g.const(STEPS), g.const(1))
    )
    x = g("Add", g("Mul", g("Gather", table, events), g.const(WIDTH**0.5)), positions)
    padding = g("Unsqueeze", g("Equal", events, g.const(0)), g.const([-1]))
    x = g("Where", padding, g.const(0.0), x)
    for _ in range(1 + k):
        before = norm(g, x, WIDTH)
        q = heads(g, project(g, before), STEPS, rows=1)
        key, v = (heads(g, project(g, x), STEPS, rows=1) for _ in range(2))
        x = g("Add", before, attend(g, q, key, v, STEPS, mask=g.const(causal(STEPS)), rows=1))
        x = _feed_forward(g, norm(g, x, WIDTH))
        x = g("Where", padding, g.const(0.0), x)
    last = g("Gather", norm(g, x, WIDTH), g.const(-1), axis=1)
    items = g("Gather", table, ids(g, name="items"))
    score = (
        g("ReduceSum", g("Mul", items, last), g.const([-1]), keepdims=0)
        if k == 0
        else g("MatMul", items, g("Transpose", last, perm=[1, 0]))
    )
    return g.out(score).done()


def _feed_forward(g, x, activation="Relu"):
    inner = linear3(g, g(activation, linear3(g, x, WIDTH, 16)), 16, WIDTH)
    return g("Add", x, inner)


def encoder(family, k):
    """A padded encoder layer over each candidate's own sequence, after (k = 0) or before (k = 1) the norm."""
    g = start(family, k, opset=20)
    x = g("Add", g.x(STEPS, WIDTH), g.const(g.floats(1, STEPS, WIDTH, scale=0.2)))
    mask = g("Mul", g("Sub", g.const(1.0), g("Unsqueeze", _lengths(g, shared=False), g.const([1, 2]))), g.const(-1e9))
    before = norm(g, x, WIDTH) if k else x
    q, key, v = (heads(g, project(g, before), STEPS) for _ in range(3))
    x = g("Add", x, project(g, attend(g, q, key, v, STEPS, mask=mask)))
    x = norm(g, _feed_forward(g, norm(g, x, WIDTH), "Gelu" if k else "Relu"), WIDTH)
    pooled = g("ReduceMean", x, g.const([1]), keepdims=0)
    return g.out(linear(g, pooled, WIDTH, 1)).done()


def bst(family, k):
    """The candidate is the last step of the history that is encoded (Behaviour Sequence Transformer)."""
    g = start(family, k)
    q = g.x(WIDTH, name="candidates")
    one = g("Unsqueeze", q, g.const([1]))
    if k == 0:
        history = g.x(STEPS - 1, WIDTH, name="history")
    else:
        rows = g("Unsqueeze", g("Gather", g("Shape", q), g.const(0), axis=0), g.const([0]))
        history = g(
            "Expand", g.shared(STEPS - 1, WIDTH, name="history"), g("Concat", rows, g.const([STEPS - 1, WIDTH]), axis=0)
        )
    x = g("Add", g("Concat", history, one, axis=1), g.const(g.floats(1, STEPS, WIDTH, scale=0.2)))
    qs, key, v = (heads(g, project(g, x), STEPS) for _ in range(3))
    x = norm(g, g("Add", x, project(g, attend(g, qs, key, v, STEPS))), WIDTH)
    x = norm(g, _feed_forward(g, x, "LeakyRelu"), WIDTH)
    return g.out(mlp(g, g("Flatten", x, axis=1), STEPS * WIDTH, 16, 1, last="Sigmoid")).done()


def gru4rec(family, k):
    """The history through a GRU; candidates by a dot product with its last state."""
    g = start(family, k)
    table = g.const(g.floats(40, WIDTH, scale=0.4))
    events = ids(g, STEPS, name="events", shared=k == 0)
    x = g("Transpose", g("Gather", table, events), perm=[1, 0, 2])
    for _ in range(1 + k):
        shapes = ((1, 3 * WIDTH, WIDTH), (1, 3 * WIDTH, WIDTH), (1, 6 * WIDTH))
        weights = [g.const(g.floats(*shape, scale=0.3)) for shape in shapes]
        y, state = g("GRU", x, *weights, outputs=2, hidden_size=WIDTH, linear_before_reset=1)
        x = g("Squeeze", y, g.const([1]))
    state = linear(g, g("Squeeze", state, g.const([0])), WIDTH, WIDTH)
    items = g("Gather", table, ids(g, name="items"))
    return g.out(g("ReduceSum", g("Mul", items, g("Tanh", state)), g.const([1]), keepdims=k)).done()


FAMILIES = {
    "DIN": din,
    "DIN, own histories": din_candidate_histories,
    "SASRec": sasrec,
    "encoder with padding": encoder,
    "BST": bst,
    "GRU4Rec": gru4rec,
}
