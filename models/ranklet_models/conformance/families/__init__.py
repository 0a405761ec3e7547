"""Architectures of rankers, whole, as PyTorch's exporter writes them.

Two graphs each: the second is wider, deeper or fed otherwise.
"""

from . import crossing, listwise, multitask, sequence


def cases():
    """All graphs of the model families; the cell is ("model", family)."""
    for module in (crossing, multitask, sequence, listwise):
        for family, write in module.FAMILIES.items():
            for k in range(2):
                yield write(family, k)
