"""The `ranklet` command line, called from Python: the product's own code computes every feature and every score."""

import os
import subprocess
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

REPOSITORY = Path(__file__).resolve().parents[2]


class Missing(RuntimeError):
    """Something that has to be there is not; the message says what and how to get it."""


def binary() -> Path:
    """The `ranklet` binary: RANKLET_BIN, else the cargo target folder's release/ranklet."""
    if given := os.environ.get("RANKLET_BIN"):
        path = Path(given)
    else:
        target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
        path = (target if target.is_absolute() else REPOSITORY / target) / "release" / "ranklet"
    if not path.is_file():
        raise Missing(f"{path}: no such binary. Build it with: cargo build --release --features cli")
    return path


def run(*arguments: str | Path) -> str:
    """Run the binary; its stdout. An error carries the last line of stderr."""
    done = subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"ranklet {arguments[0]}: exit {done.returncode}: {last[0]}")
    return done.stdout


def featurize(spec: Path, requests: Path, events: Path | None, out: Path) -> dict[str, np.ndarray]:
    """Feature matrix `X` [rows, F] (or one for each input) with `request` and `candidate`, the indexes of each row."""
    more = ["--events", events] if events else []
    run("featurize", spec, "--requests", requests, *more, "-o", out)
    return load_file(out)


def schema_of(matrix: Path) -> str:
    """Digest of the schema that a matrix was made by. A model that carries it compiles under no other schema."""
    with safe_open(matrix, "np") as file:
        return file.metadata()["ranklet.schema"]


def compile_bundle(source: Path, out: Path) -> Path:
    """Compile a spec or a bare ONNX file."""
    run("compile", source, "-o", out)
    return out


def score(bundle: Path, inputs: dict[str, np.ndarray], scratch: Path) -> dict[str, np.ndarray]:
    """Every output of the bundle's model, by name."""
    rows, out = scratch.with_suffix(".in.safetensors"), scratch.with_suffix(".out.safetensors")
    save_file({k: np.ascontiguousarray(v) for k, v in inputs.items()}, rows)
    run("score", bundle, "--inputs", rows, "-o", out)
    return load_file(out)
