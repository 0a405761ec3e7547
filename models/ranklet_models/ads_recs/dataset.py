"""A simulated world as a training matrix. Every column is computed by `ranklet featurize`."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import native
from ..native import REPOSITORY
from ..simulator import logs
from ..spec import columns, without_context

HOME = REPOSITORY / "models" / "ads-recs"
SPEC = HOME / "spec.toml"
OUT = HOME / "out"


@dataclass
class Dataset:
    """Rows in request order, then candidate order; hidden cards have no label and are left out of `shown`."""

    x: np.ndarray  # [rows, columns] f32
    blank: np.ndarray  # the same with every column of the session missing
    label: np.ndarray  # 0 or 1; -1 where the person had hidden the card
    truth: np.ndarray  # the probability that the label was drawn from
    server: np.ndarray  # the server's score
    request: np.ndarray  # index of the request
    account: np.ndarray  # index of the account
    schema: str  # digest of the schema that the columns were made by

    @property
    def shown(self) -> np.ndarray:
        return self.label >= 0


def build(world: logs.World, name: str, keep: bool = False) -> Dataset:
    """Simulate a world, write its log to out/NAME, and read back the matrix."""
    folder = OUT / name
    log = logs.write(world, folder)
    got = native.featurize(SPEC, log.requests, log.events, folder / "X.safetensors")
    label, truth, account = [], [], []
    accounts: dict[str, int] = {}
    for line in log.labels.open():
        row = json.loads(line)
        label += [-1 if v is None else v for v in row["labels"]]
        truth += row["truth"]
        account += [accounts.setdefault(row["account"], len(accounts))] * len(row["truth"])
    x, names = got["X"], columns(SPEC)
    if x.shape != (len(label), len(names)):
        raise RuntimeError(f"featurize gave {x.shape}, expected {(len(label), len(names))}: does spec.py still read the spec?")
    schema = native.schema_of(folder / "X.safetensors")
    if not keep:
        shutil.rmtree(folder)
    return Dataset(
        x,
        without_context(x, names),
        np.array(label),
        np.array(truth),
        x[:, names.index("server_score")],
        got["request"].astype(int),
        np.array(account),
        schema,
    )
