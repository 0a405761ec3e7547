"""Wide & deep, factorisation machines and cross networks over tabular columns, and two towers."""

from .layers import broadcast, embedding, fields, ids, linear, mlp, start

WIDTH, COUNT = 6, 4


def _input(g):
    """Embedded columns, the numeric ones, and both as one row."""
    emb = fields(g, COUNT, WIDTH)
    numeric = g.x(5, name="numeric")
    flat = g("Reshape", emb, g.const([-1, COUNT * WIDTH]))
    return emb, numeric, g("Concat", flat, numeric, axis=1), COUNT * WIDTH + 5


def wide_and_deep(family, k):
    g = start(family, k)
    columns = ids(g, COUNT, name="ids")
    numeric = g.x(5, name="numeric")
    # The wide part: a weight for each value of each column, and a linear map of the numbers.
    wide = g("ReduceSum", embedding(g, columns, 1), g.const([1]), keepdims=0)
    wide = g("Add", wide, linear(g, numeric, 5, 1))
    deep = g("Concat", g("Flatten", embedding(g, columns, WIDTH), axis=1), numeric, axis=1)
    deep = mlp(g, deep, COUNT * WIDTH + 5, *((16, 8, 1) if k == 0 else (32, 16, 8, 1)))
    return g.out(g("Sigmoid", g("Add", wide, deep))).done()


def deepfm(family, k):
    g = start(family, k)
    emb, numeric, flat, width = _input(g)
    first = linear(g, numeric, 5, 1)
    # Half of (square of the sum less the sum of squares), summed over the embedding.
    total = g("ReduceSum", emb, g.const([1]), keepdims=0)
    squares = g("ReduceSum", g("Pow", emb, g.const(2.0)), g.const([1]), keepdims=0)
    pairs = g("Sub", g("Pow", total, g.const(2.0)) if k == 0 else g("Mul", total, total), squares)
    second = g("Mul", g.const(0.5), g("ReduceSum", pairs, g.const([1]), keepdims=1))
    deep = mlp(g, flat, width, 16, 8, 1)
    return g.out(g("Sigmoid", g("Add", g("Add", first, second), deep))).done()


def dcn_v1(family, k):
    """x0 (x_l^T w) + b + x_l."""
    g = start(family, k)
    _, _, x0, width = _input(g)
    x = x0
    for _ in range(2 + k):
        scalar = g("MatMul", x, g.const(g.floats(width, 1, scale=width**-0.5)))
        x = g("Add", g("Add", g("Mul", x0, scalar), g.const(g.floats(width, scale=0.1))), x)
    joined = g("Concat", x, mlp(g, x0, width, 16, 8, last="Relu"), axis=1)
    return g.out(g("Sigmoid", linear(g, joined, width + 8, 1))).done()


def dcn_v2(family, k):
    """x0 * (W x_l + b) + x_l; the second graph with W of low rank and two experts, gated."""
    g = start(family, k)
    _, _, x0, width = _input(g)
    x = x0
    for _ in range(2):
        if k == 0:
            x = g("Add", g("Mul", x0, linear(g, x, width, width)), x)
            continue
        experts = []
        for _ in range(2):
            low = g("Tanh", g("MatMul", x, g.const(g.floats(width, 4, scale=width**-0.5))))
            low = g("Tanh", g("MatMul", low, g.const(g.floats(4, 4, scale=0.5))))
            experts.append(g("Unsqueeze", g("Mul", x0, linear(g, low, 4, width)), g.const([2])))
        gates = g("Softmax", g("MatMul", x, g.const(g.floats(width, 2, scale=0.3))), axis=1)
        mixed = g("MatMul", g("Concat", *experts, axis=2), g("Unsqueeze", gates, g.const([2])))
        x = g("Add", g("Squeeze", mixed, g.const([2])), x)
    return g.out(g("Sigmoid", mlp(g, x, width, 16, 1))).done()


def two_towers(family, k):
    g = start(family, k)
    context, items = g.shared(12, name="context"), g.x(8, name="candidates")
    u = mlp(g, context, 12, 16, 8, activation="Relu" if k == 0 else "Elu")
    v = mlp(g, items, 8, 16, 8)
    if k == 0:
        score = g("MatMul", v, g("Transpose", u, perm=[1, 0]))
    else:
        u, v = (g("Div", t, g("Max", g("ReduceL2", t, axes=[1], keepdims=1), g.const(1e-12))) for t in (u, v))
        score = g("Div", g("ReduceSum", g("Mul", u, v), g.const([-1]), keepdims=0), g.const(0.05))
    return g.out(score).done()


def joined_towers(family, k):
    """Context and candidate concatenated before the first layer; the context expanded to N rows."""
    g = start(family, k)
    context, items = g.shared(12, name="context"), g.x(8, name="candidates")
    wide = broadcast(g, context, items, width=12)
    x = (
        g("Concat", wide, items, axis=1)
        if k == 0
        else g("Concat", items, wide, g("Mul", items, linear(g, wide, 12, 8)), axis=1)
    )
    return g.out(g("Sigmoid", mlp(g, x, 20 + 8 * k, 24, 12, 1))).done()


FAMILIES = {
    "wide & deep": wide_and_deep,
    "DeepFM": deepfm,
    "DCN v1": dcn_v1,
    "DCN v2": dcn_v2,
    "two towers": two_towers,
    "context and candidate joined": joined_towers,
}
