"""Writes the benchmark's models, their inputs and ONNX Runtime's answers into a folder; `models.json` lists them.

    python -m ranklet_models.bench.make FOLDER

Seeded: the same package versions give the same files.
"""

import json
import sys
from pathlib import Path

from ranklet_models.bench.case import Case
from ranklet_models.bench.dense import mlp, two_towers
from ranklet_models.bench.forest import forest
from ranklet_models.bench.multi_task import multi_task

ROWS = 5000
"""The longest list that is measured."""


def work(case: Case) -> str:
    count = case.count
    if count is None:
        return "trees"
    return f"{count.unsplit:,} multiply-adds a candidate; shared work done once {count.candidate:,}, and {count.request:,} once"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cases = [
        mlp([64, 128, 64, 1], ROWS),
        mlp([256, 512, 256, 128, 1], ROWS),
        forest("regressor", "regression", ROWS),
        forest("classifier", "binary", ROWS),
        two_towers(ROWS),
        multi_task(ROWS),
    ]
    listed = []
    for case in cases:
        listed.append(case.write(folder))
        print(f"{case.name}: {work(case)}", flush=True)
    (folder / "models.json").write_text(json.dumps(listed, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
