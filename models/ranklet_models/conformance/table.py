"""Tables of what passed, printed and committed."""

import json
from collections import Counter, defaultdict

from .backend import listed

STATUSES = ("passed", "refused", "wrong")
HEADINGS = {
    "suite": """# Generated suite

Every operator and attribute value, model families and exporters, against ONNX Runtime at one thread, natively and
through the wasm (bit-equal to each other). Made by `cargo xtask conformance --update`.
""",
    "backend": """# Standard ONNX node tests

Tests of the pinned onnx for f32, i32, i64 and bool up to rank 4; inputs that decide a shape, an axis or a count are
bound as initialisers. A refusal is a failure, a wrong answer a defect. Made by `cargo xtask conformance --update`.
""",
}


NOTES = {
    "Sin/0": "beyond 10,000 it is NaN, where the plan's reduction of the angle would lose digits",
    "Cos/0": "beyond 10,000 it is NaN, where the plan's reduction of the angle would lose digits",
    "Sinh/1": "a sum of terms of 100 that cancel: 1.0e-5 from the true one, ONNX Runtime 0.6e-5 on the other side",
    "TreeEnsemble/set membership/0": "ONNX Runtime takes 1e-40 for a member of a set that holds 0",
}
"""What there is to say of a case that does not pass, beside how it failed."""


def count_line(found):
    counts = Counter(status for status, _ in found.values())
    return f"{len(found)} graphs, " + ", ".join(f"{counts[status]} {status}" for status in STATUSES)


def cells(index, found):
    """operator -> attribute value -> counts of statuses."""
    rows = defaultdict(lambda: defaultdict(Counter))
    for entry in index:
        for operator, value in entry["cells"]:
            rows[operator][value][found[entry["name"]][0]] += 1
    return rows


def operators(index, found):
    """operator -> counts of statuses, each graph once."""
    rows = defaultdict(Counter)
    for entry in index:
        for operator in dict.fromkeys(operator for operator, _ in entry["cells"]):
            rows[operator][found[entry["name"]][0]] += 1
    return rows


def render(suite, index, found, verbose):
    """The table for a terminal, and with `verbose` every case that did not pass."""
    lines = []
    if suite == "backend":
        lines += _rows(
            [("operator", *STATUSES)] + [(name, *_counts(c)) for name, c in sorted(operators(index, found).items())]
        )
    else:
        body = [("operator", "attribute", *STATUSES)]
        for operator, values in sorted(cells(index, found).items()):
            body += [(operator, value or "-", *_counts(counter)) for value, counter in values.items()]
        lines += _rows(body)
    if verbose:
        lines += [f"{status}: {name}: {why}" for name, (status, why) in found.items() if status != "passed"]
    return "\n".join(lines)


def _counts(counter):
    return [str(counter[status] or ".") for status in STATUSES]


def _rows(body):
    widths = [max(len(row[i]) for row in body) for i in range(len(body[0]))]
    texts = len(widths) - len(STATUSES)
    return [
        "  ".join(
            cell.ljust(w) if i < texts else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in body
    ]


def save(folder, suite, index, found):
    """Rewrites SUITE.json, which decides, and SUITE.md, for people."""
    folder.mkdir(parents=True, exist_ok=True)
    statuses = {name: status for name, (status, _) in sorted(found.items())}
    (folder / f"{suite}.json").write_text(json.dumps(statuses, indent=1) + "\n")
    (folder / f"{suite}.md").write_text(_page(suite, index, found))


def regressions(folder, suite, found, whole):
    """What the committed table calls passed and is not, or, of a whole run, is not there any more."""
    path = folder / f"{suite}.json"
    if not path.is_file():
        return [f"{suite}: there is no committed table, make it with --update"] if whole else []
    before = json.loads(path.read_text())
    lines = []
    for name, status in before.items():
        if status == "passed" and name in found and found[name][0] != "passed":
            lines.append(f"{name}: {found[name][0]}: {found[name][1]}")
        elif status == "passed" and whole and name not in found:
            lines.append(f"{name}: it is not in the suite any more")
    # What is new must be right or refused from the start.
    lines += [
        f"{name}: new and wrong: {why}"
        for name, (status, why) in found.items()
        if status == "wrong" and name not in before
    ]
    return lines


def _page(suite, index, found):
    lines = [HEADINGS[suite], f"{count_line(found)}.", ""]
    if suite == "backend":
        rows = sorted(operators(index, found).items())
        for title, chosen in (
            ("Named by the issue", [r for r in rows if listed(r[0])]),
            ("Beyond", [r for r in rows if not listed(r[0])]),
        ):
            total = sum((counter for _, counter in chosen), Counter())
            lines += [f"## {title}", "", "| operator | passed | refused | wrong |", "| --- | --: | --: | --: |"]
            lines += [f"| {name} | {' | '.join(_counts(counter))} |" for name, counter in [*chosen, ("**all**", total)]]
            lines.append("")
    else:
        lines += ["| operator | attribute | passed | refused | wrong |", "| --- | --- | --: | --: | --: |"]
        for operator, values in sorted(cells(index, found).items()):
            for value, counter in values.items():
                lines.append(f"| {operator} | {value or '-'} | {' | '.join(_counts(counter))} |")
        lines.append("")
    lines += _missed(found)
    return "\n".join(lines)


def _missed(found):
    """Every case that did not pass, and why: without the place of its file."""
    rows = []
    for name, (status, why) in sorted(found.items()):
        if status != "passed":
            why = NOTES.get(name) or why.rsplit("graph.onnx: ", 1)[-1].replace("|", "\\|")
            rows.append(f"| {name} | {status} | {why} |")
    return ["## What did not pass", "", "| case | | why |", "| --- | --- | --- |", *rows, ""] if rows else []
