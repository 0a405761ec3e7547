"""Dense models: plain stacks, and two towers."""

import numpy as np

from ranklet_models.bench.case import Case, Count, Input
from ranklet_models.bench.graph import Graph

CONTEXT, CANDIDATE = 192, 64
"""Widths of what is known of the request and of one candidate."""


def products(widths: list[int]) -> int:
    """Multiply-adds of a stack of dense layers."""
    return sum(a * b for a, b in zip(widths, widths[1:]))


def layers(widths: list[int]) -> list[list[int]]:
    return [[a, b] for a, b in zip(widths, widths[1:])]


def mlp(widths: list[int], rows: int) -> Case:
    """Relu between the layers and a Sigmoid at the end, X [N, widths[0]] -> Y [N, widths[-1]]."""
    rng = np.random.default_rng(widths)
    graph = Graph("mlp", rng)
    x = graph.input("X", "f32", ["N", widths[0]])
    graph.output(graph.stack(x, "layers", widths, "Sigmoid"), "Y", ["N", widths[-1]])
    name = "-".join(map(str, widths))
    count = products(widths)
    return Case(
        f"mlp-{name}",
        f"MLP {name}",
        graph.model(),
        [Input("X", "f32", ["N", widths[0]], rng.normal(size=(rows, widths[0])))],
        count=Count(unsplit=count, candidate=count, request=0),
        layers=layers(widths),
    )


def tower(graph: Graph, x: str, name: str, widths: list[int]) -> str:
    """Relu between the layers and none after the last, whose values are small: a score is a sum of about 1."""
    x = graph.stack(x, name, widths[:-1])
    return graph.gemm(x, f"{name}.last", widths[-2], widths[-1], gain=1 / 16)


def two_towers(rows: int) -> Case:
    """score [N, 1], the dot product of a tower of the context and a tower of each candidate.

    16,448 multiply-adds a candidate and 90,112 once; on a prepared list the 64 of the dot product are left of the former.
    """
    rng = np.random.default_rng(2)
    graph = Graph("two_towers", rng)
    context = graph.input("context", "f32", [1, CONTEXT])
    candidates = graph.input("candidates", "f32", ["N", CANDIDATE])
    user, item = [CONTEXT, 256, 128, 64], [CANDIDATE, 128, 64]
    left, right = tower(graph, context, "user", user), tower(graph, candidates, "item", item)
    product = graph.op("Mul", left, right)
    graph.output(graph.op("ReduceSum", product, graph.ints(-1), keepdims=1), "score", ["N", 1])
    each = products(item) + item[-1]
    return Case(
        "two-towers",
        "two towers",
        graph.model(),
        [
            Input("context", "f32", [1, CONTEXT], rng.normal(size=(1, CONTEXT))),
            Input("candidates", "f32", ["N", CANDIDATE], rng.normal(size=(rows, CANDIDATE))),
        ],
        count=Count(unsplit=each, candidate=each, request=products(user)),
        prepared=["context"],
    )
