"""What passed natively, through the package's wasm in one Node process: the outputs must have the same bits."""

import json
import shutil
import subprocess
from pathlib import Path

WALKER = Path(__file__).with_name("walk.mjs")
SECONDS = 300


def compare_all(package, folder, entries):
    """(status, why) by name, for those of `entries` whose outputs differ or do not come."""
    if not entries:
        return {}
    node = shutil.which("node")
    if node is None or not (package / "scorer-node.js").is_file():
        raise SystemExit(f"error: no Node or no {package / 'node.js'}, wasm, run `cargo xtask build` or give --native")
    jobs = [
        {"name": entry["name"], "home": str(folder / entry["folder"]), "runs": list(entry["runs"])} for entry in entries
    ]
    ended = subprocess.run(
        [node, str(WALKER), str(package)],
        input=json.dumps(jobs),
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    wrong = json.loads(ended.stdout)
    return {name: ("wrong", f"wasm: {why}") for name, why in wrong.items()}
