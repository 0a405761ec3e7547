"""Holding answers against each other."""

import numpy as np


def difference(expected, found, relative, scale=1.0):
    """What is wrong with `found`, in words, or None.

    NaN equals NaN and an infinity itself; `relative` 0 asks for the same bits.
    """
    kind = "integers of 8 bits or bool" if expected.dtype == np.bool_ else expected.dtype
    if found.dtype != expected.dtype and not (expected.dtype == np.bool_ and found.dtype == np.uint8):
        return f"is {found.dtype}, not {kind}"
    if found.shape != expected.shape:
        return f"has shape {list(found.shape)}, not {list(expected.shape)}"
    if expected.dtype.kind != "f":
        off = found.astype(expected.dtype) != expected
    elif relative == 0:
        off = bits(found) != bits(expected)
    else:
        off = ~_near(expected, found, relative, scale)
    if not off.any():
        return None
    place = tuple(int(i) for i in np.argwhere(off)[0])
    return (
        f"{int(off.sum())} of {off.size} values are off, first {list(place)}: {found[place]!r}, not {expected[place]!r}"
    )


def _near(expected, found, relative, scale):
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(found.astype(np.float64) - expected)
        near = distance <= relative * np.maximum(np.maximum(1.0, np.abs(expected.astype(np.float64))), scale)
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    return same | (near & np.isfinite(expected) & np.isfinite(found))


def bits(values):
    """Bit patterns with all NaNs as one; what is no float as it is."""
    if values.dtype.kind != "f":
        return values
    canonical = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return canonical.view(f"u{values.dtype.itemsize}")


def label_difference(expected, found, scores, relative, scale=1.0):
    """As `difference`, but a label may differ where the two best of the expected `scores` are within the bound."""
    plain = difference(expected, found, relative, scale)
    if (
        plain is None
        or found.shape != expected.shape
        or found.dtype != expected.dtype
        or scores.ndim != 2
        or scores.shape[1] < 2
    ):
        return plain
    best = np.sort(scores, axis=1)[:, -2:].astype(np.float64)
    tied = best[:, 1] - best[:, 0] <= max(relative, 1e-5) * np.maximum(np.maximum(1.0, np.abs(best[:, 1])), scale)
    return None if tied[(found != expected).reshape(len(tied), -1).any(axis=1)].all() else plain
