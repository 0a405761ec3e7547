"""Whole graphs over the list: PRM, SetRank, DLCM, and context by statistics of the list."""

from .layers import linear, linear3, mlp, norm, start

WIDTH, HEADS = 8, 2


def _attention(g, x, y, *, width=WIDTH):
    """Rows of x `[N, width]` attend to those of y `[M, width]`."""

    def split(value):
        return g(
            "Transpose",
            g("Reshape", linear(g, value, width, width), g.const([-1, HEADS, width // HEADS])),
            perm=[1, 0, 2],
        )

    q, key, v = split(x), split(y), split(y)
    scores = g("Div", g("MatMul", q, g("Transpose", key, perm=[0, 2, 1])), g.const((width // HEADS) ** 0.5))
    mixed = g("Transpose", g("MatMul", g("Softmax", scores, axis=-1), v), perm=[1, 0, 2])
    return linear(g, g("Reshape", mixed, g.const([-1, width])), width, width)


def _block(g, x, y=None):
    x = norm(g, g("Add", x, _attention(g, x, x if y is None else y)), WIDTH)
    return norm(g, g("Add", x, mlp(g, x, WIDTH, 16, WIDTH)), WIDTH)


def prm(family, k):
    """Encoder blocks over the candidates, a softmax over the list at the end (Pei et al. 2019)."""
    g = start(family, k)
    x = g.x(WIDTH)
    if k:
        # Positions are those of the initial list: a Range as long as the list.
        count = g("Gather", g("Shape", x), g.const(0))
        places = g("Range", g.const(0), count, g.const(1))
        x = g("Add", x, g("Gather", g.const(g.floats(200, WIDTH, scale=0.2)), places))
    for _ in range(1 + k):
        x = _block(g, x)
    score = linear(g, x, WIDTH, 1)
    return g.out(g("Squeeze", g("Softmax", score, axis=0), g.const([1])) if k == 0 else score).done()


def prm_batch(family, k):
    """The same with an axis for the list that the graph adds, as a batch-first module is wrapped."""
    g = start(family, k)
    score = _batch_first(g, g("Unsqueeze", g.x(WIDTH), g.const([0])), k)
    return g.out(g("Squeeze", score, g.const([0, 2]))).done()


def prm_batch_input(family, k):
    """The same with that axis in the input and the output, `[1, N, D]` to `[1, N, 1]`."""
    g = start(family, k)
    return g.out(_batch_first(g, g.whole(WIDTH), k)).done()


def _batch_first(g, x, k):
    """`[1, N, WIDTH]` -> `[1, N, 1]`."""
    parts = []
    for _ in range(3):
        split = g("Reshape", linear3(g, x, WIDTH, WIDTH), g.const([1, -1, HEADS, WIDTH // HEADS]))
        parts.append(g("Transpose", split, perm=[0, 2, 1, 3]))
    q, key, v = parts
    scores = g("Mul", g("MatMul", q, g("Transpose", key, perm=[0, 1, 3, 2])), g.const(0.5))
    mixed = g("Transpose", g("MatMul", g("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    joined = linear3(g, g("Reshape", mixed, g.const([1, -1, WIDTH])), WIDTH, WIDTH)
    x = norm(g, g("Add", x, joined), WIDTH)
    return linear3(g, g("Relu", x) if k else x, WIDTH, 1)


def setrank(family, k):
    """Multi-head self-attention blocks (MSAB), or induced ones with inducing points (IMSAB) (Pang et al. 2020)."""
    g = start(family, k, rows=7 if k == 0 else 64)
    x = linear(g, g.x(10), 10, WIDTH)
    for _ in range(2):
        if k == 0:
            x = _block(g, x)
        else:
            points = _block(g, g.const(g.floats(3, WIDTH)), x)
            x = _block(g, x, points)
    return g.out(linear(g, x, WIDTH, 1)).done()


def statistics(family, k):
    """Each candidate beside the list's mean, largest and deviation."""
    g = start(family, k)
    x = g.x(WIDTH)
    mean = g("ReduceMean", x, axes=[0], keepdims=1)
    centred = g("Sub", x, mean)
    deviation = g("Sqrt", g("Add", g("ReduceMean", g("Mul", centred, centred), axes=[0], keepdims=1), g.const(1e-6)))
    parts = [x, g("Div", centred, deviation)]
    parts.append(g("Sub", x, g("ReduceMax", x, axes=[0], keepdims=1)))
    if k:
        share = g("Softmax", x, axis=0)
        parts.append(share)
    return g.out(mlp(g, g("Concat", *parts, axis=1), WIDTH * len(parts), 16, 1)).done()


def dlcm(family, k):
    """A GRU over the list in the server's order (Ai et al. 2018)."""
    g = start(family, k, rows=7 if k == 0 else 64)
    steps = g("Unsqueeze", g.x(WIDTH), g.const([1]))
    directions = 1 + k
    shapes = ((directions, 3 * WIDTH, WIDTH), (directions, 3 * WIDTH, WIDTH), (directions, 6 * WIDTH))
    weights = [g.const(g.floats(*shape, scale=0.3)) for shape in shapes]
    direction = "bidirectional" if k else "forward"
    y, _ = g("GRU", steps, *weights, outputs=2, hidden_size=WIDTH, linear_before_reset=1, direction=direction)
    flat = g("Reshape", y, g.const([-1, directions * WIDTH]))
    return g.out(mlp(g, flat, directions * WIDTH, 8, 1)).done()


FAMILIES = {
    "PRM": prm,
    "PRM, batch first": prm_batch,
    "PRM, batch first from outside": prm_batch_input,
    "SetRank": setrank,
    "statistics of the list": statistics,
    "DLCM": dlcm,
}
