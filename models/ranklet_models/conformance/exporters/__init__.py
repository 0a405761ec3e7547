"""Graphs from the exporters themselves: models trained here on drawn data, seeded, one thread.

Two graphs each, of another size; inputs with values exactly on splits and, where the library learns from them, missing
ones.
"""

import logging
import warnings

from threadpoolctl import threadpool_limits


def cases():
    """All exported graphs; the cell is (library, model)."""
    from . import boosted, catboosted, linear, pipelines

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # of converters about versions and of trainers about names
        logging.getLogger("skl2onnx").setLevel(logging.ERROR)
        for module in (boosted, catboosted, linear, pipelines):
            yield from module.cases()
