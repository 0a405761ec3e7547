"""One graph through the command line: compile, score every run, compare."""

import os
import subprocess

from safetensors.numpy import load_file

from .compare import difference, label_difference

SECONDS = 60


def judge(binary, home, entry):
    """(status, why): `passed`, `refused` where it does not compile, `wrong` where what compiled answers otherwise."""
    bundle = home / "graph.ranklet"
    ended = _call(binary, "compile", home / "graph.onnx", "-o", bundle)
    if ended.returncode == 1:
        return "refused", _why(ended)
    if ended.returncode:
        return "wrong", f"compile ended with {ended.returncode}: {_why(ended)}"
    for run in entry["runs"]:
        ended = _call(
            binary, "score", bundle, "--inputs", home / f"{run}.in.safetensors", "-o", home / f"{run}.out.safetensors"
        )
        if ended.returncode:
            return "wrong", f"score of {run} ended with {ended.returncode}: {_why(ended)}"
    whole = load_file(home / "whole.out.safetensors")
    why = against_runtime(load_file(home / "expected.safetensors"), whole, entry) or between_runs(home, whole, entry)
    return ("wrong", why) if why else ("passed", "")


def against_runtime(expected, found, entry):
    """The first output that differs from ONNX Runtime's."""
    for name, values in expected.items():
        if name not in found:
            return f"output {name} is missing"
        bound = (entry["relative"], entry["scale"])
        scores = entry["labels"].get(name)
        if scores is not None:
            why = label_difference(values, found[name], expected[scores], *bound)
        else:
            why = difference(values, found[name], *bound)
        if why:
            return f"output {name}: {why}"
    return None


def between_runs(home, whole, entry):
    """The first run whose rows have other bits than the same rows among all candidates."""
    for run, rows in entry["runs"].items():
        if rows is None:
            continue
        part = load_file(home / f"{run}.out.safetensors")
        for name, kind in entry["kinds"].items():
            same = whole[name][rows] if kind == "rows" else whole[name]
            why = difference(same, part[name], 0.0)
            if why:
                return f"output {name} of the run `{run}` has other bits than in `whole`: {why}"
    return None


def _call(binary, *arguments):
    command = [str(binary), *map(str, arguments)]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            env={**os.environ, "NO_COLOR": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"did not end within {SECONDS} s")


def _why(ended):
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
    return " ".join(lines[-3:])[:2000] or "it said nothing"
