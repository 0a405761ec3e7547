"""Several heads: shared bottom, MMoE, PLE, ESMM."""

from .layers import broadcast, linear, mlp, start

WIDTH, EXPERT, TASKS = 14, 8, 3


def _input(g, k):
    """Candidates' columns; in the second graph half of them are the request's."""
    if k == 0:
        return g.x(WIDTH)
    items = g.x(WIDTH // 2, name="candidates")
    context = broadcast(g, g.shared(WIDTH - WIDTH // 2, name="context"), items, width=WIDTH - WIDTH // 2)
    return g("Concat", context, items, axis=1)


def _experts(g, x, count, width=WIDTH):
    """`[N, count, EXPERT]`."""
    found = [g("Unsqueeze", mlp(g, x, width, 12, EXPERT, last="Relu"), g.const([1])) for _ in range(count)]
    return g("Concat", *found, axis=1)


def _gated(g, x, experts, count, k, width=WIDTH):
    """Experts weighed by a softmax of the input: `[N, EXPERT]`."""
    gate = g("Softmax", linear(g, x, width, count), axis=1)
    if k == 0:
        weighted = g("Mul", g("Unsqueeze", gate, g.const([2])), experts)
        return g("ReduceSum", weighted, g.const([1]), keepdims=0)
    mixed = g("MatMul", g("Unsqueeze", gate, g.const([1])), experts)
    return g("Squeeze", mixed, g.const([1]))


def shared_bottom(family, k):
    g = start(family, k)
    x = mlp(g, _input(g, k), WIDTH, 16, EXPERT, last="Relu")
    return g.out(*(g("Sigmoid", mlp(g, x, EXPERT, 6, 1)) for _ in range(TASKS))).done()


def mmoe(family, k):
    g = start(family, k)
    x = _input(g, k)
    experts = _experts(g, x, 4)
    towers = [mlp(g, _gated(g, x, experts, 4, k), EXPERT, 6, 1, last="Sigmoid") for _ in range(TASKS)]
    return g.out(*(towers if k == 0 else [g("Concat", *towers, axis=1)])).done()


def mmoe_einsum(family, k):
    """Experts as one tensor, mixed by Einsum."""
    g = start(family, k)
    x = _input(g, k)
    experts = g("Relu", g("Einsum", x, g.const(g.floats(4, WIDTH, EXPERT, scale=0.3)), equation="nd,edh->neh"))
    gates = g("Einsum", x, g.const(g.floats(TASKS, WIDTH, 4, scale=0.3)), equation="nd,tde->nte")
    mixed = g("Einsum", g("Softmax", gates, axis=-1), experts, equation="nte,neh->nth")
    heads = g("Einsum", mixed, g.const(g.floats(TASKS, EXPERT)), equation="nth,th->nt")
    return g.out(g("Sigmoid", heads)).done()


def ple(family, k):
    """Two levels of experts, some shared and some of each task."""
    g = start(family, k)
    x = _input(g, k)
    inputs, width = [x] * (TASKS + 1), WIDTH
    for level in range(2):
        common = _experts(g, inputs[-1], 2, width)
        own = [_experts(g, inputs[task], 2, width) for task in range(TASKS)]
        outputs = [
            _gated(g, inputs[task], g("Concat", own[task], common, axis=1), 4, k, width) for task in range(TASKS)
        ]
        if level == 0:
            outputs.append(_gated(g, inputs[-1], g("Concat", *own, common, axis=1), 2 * TASKS + 2, k, width))
        inputs, width = outputs, EXPERT
    return g.out(*(mlp(g, value, EXPERT, 6, 1, last="Sigmoid") for value in inputs[:TASKS])).done()


def esmm(family, k):
    """Conversion as a product of two probabilities."""
    g = start(family, k)
    x = _input(g, k)
    click, buy = (mlp(g, x, WIDTH, 12, 1, last="Sigmoid") for _ in range(2))
    return g.out(click, g("Mul", click, buy)).done()


FAMILIES = {"shared bottom": shared_bottom, "MMoE": mmoe, "MMoE by Einsum": mmoe_einsum, "PLE": ple, "ESMM": esmm}
