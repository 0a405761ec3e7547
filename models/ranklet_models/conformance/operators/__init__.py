"""Graphs for every operator and attribute value, two a cell at least.

Each module yields cases from `cases()`; the first graph of a cell holds the operator alone, the second puts it where a
model has it: behind a dense layer, against a shared operand, at another rank.
"""

from . import activations, arithmetic, attention, dense, index, ml_encode, ml_linear, ml_trees, ml_trees5, normalise
from . import quantised, recurrent, reduction, select, shape


def cases():
    """All graphs of the generated operator suite."""
    modules = (
        activations,
        arithmetic,
        dense,
        normalise,
        reduction,
        select,
        index,
        shape,
        recurrent,
        attention,
        quantised,
        ml_trees,
        ml_trees5,
        ml_linear,
        ml_encode,
    )
    for module in modules:
        yield from module.cases()
