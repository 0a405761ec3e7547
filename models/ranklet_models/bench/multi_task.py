"""A multi-task ranker: DIN (Zhou et al. 2018) over the history, MMoE (Ma et al. 2018) over everything."""

import numpy as np

from ranklet_models.bench.case import Case, Count, Input
from ranklet_models.bench.dense import CANDIDATE, CONTEXT
from ranklet_models.bench.graph import Graph

HISTORY, WIDTH = 32, 24
"""Length of the history, and width of an item in it and of an item's embedding."""

ITEMS = 5000
ACTIVATION = 36
"""Hidden units of DIN's local activation unit."""

EXPERTS, EXPERT = 4, [128, 40]
TOWER = 32
TASKS = ["open", "accept", "dismiss", "convert"]
REAL = 20
"""How much of the padded history is real."""


def count() -> Count:
    """300,160 multiply-adds a candidate as the graph stands; 116,704 when what is shared is done once.

    The activation unit's first layer reads concat(q, h, q - h, q * h); of its four blocks of weights W1 - W4, h (W2 - W3)
    belongs to the request, q (W1 + W3) to the candidate alone, and only (q * h) W4 to both. The context is part of every
    expert's and every gate's input and belongs to the request too.
    """
    rest = CANDIDATE + 2 * WIDTH
    wide = EXPERTS * EXPERT[0] + len(TASKS) * EXPERTS
    activation = HISTORY * (ACTIVATION + WIDTH + WIDTH)  # second layer, weighted sum, q * h
    deep = EXPERTS * EXPERT[0] * EXPERT[1]
    mixture = len(TASKS) * EXPERTS * EXPERT[1]
    towers = len(TASKS) * (EXPERT[1] * TOWER + TOWER)
    same = activation + deep + mixture + towers
    first = WIDTH * ACTIVATION
    return Count(
        unsplit=same + 4 * HISTORY * first + (CONTEXT + rest) * wide,
        candidate=same + first + HISTORY * first + rest * wide,
        request=HISTORY * first + CONTEXT * wide,
    )


def attention(graph: Graph, q: str, history: str, mask: str, rows: str) -> str:
    """DIN's local activation unit and its weighted sum: [N, WIDTH]."""
    q_wide = graph.expand(graph.op("Unsqueeze", q, graph.ints(1)), rows, HISTORY, WIDTH)
    h_wide = graph.expand(history, rows, HISTORY, WIDTH)
    difference, product = graph.op("Sub", q_wide, h_wide), graph.op("Mul", q_wide, h_wide)
    both = graph.op("Concat", q_wide, h_wide, difference, product, axis=-1)
    hidden = graph.linear(both, "attention.0", 4 * WIDTH, ACTIVATION)
    # `nn.PReLU()`: one slope for all.
    hidden = graph.op("PRelu", hidden, graph.weight("attention.1.weight", np.full((1, 1), 0.25, np.float32)))
    score = graph.op("Squeeze", graph.linear(hidden, "attention.2", ACTIVATION, 1), graph.ints(-1))
    padding = graph.op("Equal", mask, graph.weight("zero", np.array(0, np.float32)))
    low = graph.weight("low", np.array(-1e9, np.float32))
    weights = graph.op("Softmax", graph.op("Where", padding, low, score), axis=-1)
    pooled = graph.op("MatMul", graph.op("Unsqueeze", weights, graph.ints(1)), history)
    return graph.op("Squeeze", pooled, graph.ints(1))


def experts(graph: Graph, x: str, width: int) -> str:
    """[N, EXPERTS, EXPERT[-1]]."""
    outputs = [graph.stack(x, f"expert.{i}", [width, *EXPERT]) for i in range(EXPERTS)]
    return graph.op("Concat", *(graph.op("Unsqueeze", y, graph.ints(1)) for y in outputs), axis=1)


def task(graph: Graph, x: str, width: int, mixed: str, name: str) -> None:
    """Its gate over the experts and its tower: an output [N, 1]."""
    gate = graph.op("Softmax", graph.gemm(x, f"gate.{name}", width, EXPERTS, gain=0.5), axis=-1)
    weighted = graph.op("Mul", graph.op("Unsqueeze", gate, graph.ints(-1)), mixed)
    chosen = graph.op("ReduceSum", weighted, graph.ints(1), keepdims=0)
    score = graph.stack(chosen, f"tower.{name}", [EXPERT[-1], TOWER, 1], "Sigmoid")
    graph.output(score, name, ["N", 1])


def multi_task(rows: int) -> Case:
    """context, candidates, history, mask and item_id -> one probability a task."""
    rng = np.random.default_rng(3)
    graph = Graph("multi_task", rng)
    context = graph.input("context", "f32", [1, CONTEXT])
    candidates = graph.input("candidates", "f32", ["N", CANDIDATE])
    history = graph.input("history", "f32", [1, HISTORY, WIDTH])
    mask = graph.input("mask", "f32", [1, HISTORY])
    item = graph.input("item_id", "i64", ["N"])
    table = graph.weight("embedding.weight", rng.normal(0, 0.7, (ITEMS, WIDTH)).astype(np.float32))
    q = graph.op("Gather", table, item)
    count_of = graph.rows(candidates)
    pooled = attention(graph, q, history, mask, count_of)
    width = CONTEXT + CANDIDATE + 2 * WIDTH
    x = graph.op("Concat", graph.expand(context, count_of, CONTEXT), candidates, q, pooled, axis=-1)
    mixed = experts(graph, x, width)
    for name in TASKS:
        task(graph, x, width, mixed, name)
    known = (np.arange(HISTORY) < REAL).astype(np.float32)
    return Case(
        "multi-task",
        "multi-task DIN + MMoE",
        graph.model(),
        [
            Input("context", "f32", [1, CONTEXT], rng.normal(size=(1, CONTEXT))),
            Input("candidates", "f32", ["N", CANDIDATE], rng.normal(size=(rows, CANDIDATE))),
            Input("history", "f32", [1, HISTORY, WIDTH], rng.normal(0, 0.7, (1, HISTORY, WIDTH))),
            Input("mask", "f32", [1, HISTORY], known[None], varies=False),
            Input("item_id", "i64", ["N"], rng.integers(0, ITEMS, rows), varies=False),
        ],
        count=count(),
        prepared=["history"],
    )
