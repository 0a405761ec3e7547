"""Runs the conformance suites.

    python -m ranklet_models.conformance.run                       # everything, against the committed tables
    python -m ranklet_models.conformance.run --only Gather --native      # cases whose name or operator matches
    python -m ranklet_models.conformance.run --suite backend --update

RANKLET_BIN names the command line (else target/release/ranklet), RANKLET_PACKAGE the built npm package (else pkg/dist).
Exit code 1 if a case that the committed table calls passed is not any more, 77 if this machine cannot run them.
"""

import argparse
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import store, table
from .native import judge
from .wasm import compare_all

ROOT = Path(__file__).parents[3]
SUITES = ("suite", "backend")
UNMET = 77
"""The exit code where this machine cannot run the suites."""


def makers():
    """What makes each suite's cases; imported late, as training libraries take seconds to load."""

    def generated():
        from . import exporters, families, operators

        for module in (operators, families, exporters):
            yield from module.cases()

    def backend():
        from . import backend

        yield from backend.cases()

    return {"suite": generated, "backend": backend}


def main(arguments=None):
    options = _parse(arguments)
    if sys.version_info < (3, 11):
        print(
            "skipped: the conformance suites need Python 3.11: the last ONNX Runtime before lacks operators of theirs"
        )
        return UNMET
    work = options.work or ROOT / "target/ranklet/conformance"
    binary = Path(os.environ.get("RANKLET_BIN") or ROOT / "target/release/ranklet")
    package = Path(os.environ.get("RANKLET_PACKAGE") or ROOT / "pkg/dist")
    regressions, counts = [], {"passed": 0, "refused": 0, "wrong": 0}
    for suite in options.suite or SUITES:
        start = time.monotonic()
        folder = work / suite
        index = store.suite(folder, makers()[suite])
        made = time.monotonic()
        chosen = [entry for entry in index if _matches(entry, options.only)]
        if options.list:
            print("\n".join(entry["name"] for entry in chosen))
            continue
        found = _run(folder, chosen, binary, None if options.native else package, options.jobs)
        whole = options.only is None
        print(table.render(suite, chosen, found, verbose=options.verbose or not whole))
        spent = f"{made - start:.0f} s to make, {time.monotonic() - made:.0f} s to run"
        print(f"{suite}: {table.count_line(found)}; {spent}\n", flush=True)
        for status, _ in found.values():
            counts[status] += 1
        if options.update and whole and not options.native:
            table.save(options.tables, suite, chosen, found)
        else:
            regressions += table.regressions(options.tables, suite, found, whole)
        if options.json:
            options.json.mkdir(parents=True, exist_ok=True)
            (options.json / f"{suite}.json").write_text(json.dumps(found, indent=1))
    if options.list:
        return 0
    for line in regressions:
        print(f"regression: {line}")
    print(f"{counts['refused']} refused, {counts['wrong']} wrong")
    print(f"{counts['passed']} passed, {len(regressions)} failed")
    return 1 if regressions else 0


def _run(folder, chosen, binary, package, jobs):
    """Statuses by name: natively in `jobs` processes, then what passed through the wasm."""
    with ThreadPoolExecutor(jobs) as pool:
        found = dict(
            zip(
                [entry["name"] for entry in chosen],
                pool.map(lambda entry: judge(binary, folder / entry["folder"], entry), chosen),
            )
        )
    if package is not None:
        passed = [entry for entry in chosen if found[entry["name"]][0] == "passed"]
        found.update(compare_all(package, folder, passed))
    return found


def _matches(entry, only):
    if only is None:
        return True
    words = [entry["name"], *(operator for operator, _ in entry["cells"])]
    return any(re.search(only, word) for word in words)


def _parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m ranklet_models.conformance.run", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this one")
    parser.add_argument("--only", metavar="REGEX", help="cases whose name or operator it matches")
    parser.add_argument("--native", action="store_true", help="leave the wasm out")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="where graphs and answers are kept")
    parser.add_argument(
        "--tables", type=Path, default=ROOT / "tests/conformance", metavar="FOLDER", help="the committed tables"
    )
    parser.add_argument("--update", action="store_true", help="rewrite the committed tables")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write every status and reason there")
    parser.add_argument("--verbose", action="store_true", help="say of each case that did not pass why")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
