"""The columns of a spec.toml, by name and in order."""

from pathlib import Path

import numpy as np

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

LOCAL = "local."


def columns(path: Path) -> list[str]:
    """One name a column; a one-hot feature has as many as its vocabulary, `name=word`."""
    names = []
    for feature in tomllib.loads(path.read_text())["features"]:
        if feature.get("encode") == "one_hot":
            names += [f"{feature['name']}={word}" for word in feature["vocabulary"]]
        else:
            names.append(feature["name"])
    return names


def without_context(x: np.ndarray, names: list[str]) -> np.ndarray:
    """The same matrix with every column that comes from the session missing."""
    blank = x.copy()
    blank[:, [n.startswith(LOCAL) for n in names]] = np.nan
    return blank
