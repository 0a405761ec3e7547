"""Orders of the held-out lists: by the wasm in Node, their NDCG, and how ONNX Runtime would have ordered them."""

import json
import subprocess
from pathlib import Path

import numpy as np

from .. import trees
from ..native import REPOSITORY
from .requests import Stage

SCRIPT = Path(__file__).parent / "rerank.mjs"
TIE = 1e-5  # score differences below it count as ties when two engines are compared


def in_node(bundle: Path, stage: Stage, events: Path, out: Path) -> tuple[list[dict], dict]:
    """Re-rank every request of a stage by the wasm in Node; one answer a request, and the time it took."""
    done = subprocess.run(
        ["node", SCRIPT, bundle, stage.requests, events, out], capture_output=True, text=True, cwd=REPOSITORY
    )
    if done.returncode != 0:
        raise RuntimeError(f"rerank.mjs: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    answers = [json.loads(line) for line in out.open()]
    if served := [a["reason"] for a in answers if a["source"] != "model"]:
        raise RuntimeError(f"rerank.mjs: {len(served)} lists in server order, the first because of {served[0]}")
    return answers, json.loads(done.stdout)


def ndcg_of(gains: list[np.ndarray], targets: np.ndarray) -> np.ndarray:
    """NDCG@10 of each ranked list of 0/1 gains; a target that is no candidate counts in the ideal list."""
    discount = 1.0 / np.log2(np.arange(2, 12))
    return np.array([(g[:10] * discount[: len(g[:10])]).sum() / discount[: int(t)].sum() for g, t in zip(gains, targets)])


def ordered(stage: Stage, orders: list) -> np.ndarray:
    """NDCG@10 of each list of a stage, under an order of candidate indexes."""
    return ndcg_of([gains[np.asarray(order)] for gains, order in zip(stage.gains, orders)], stage.targets)


def per_request(values: np.ndarray, request: np.ndarray) -> list[np.ndarray]:
    """Values of rows, split where the request's index changes."""
    return np.split(values, np.flatnonzero(np.diff(request)) + 1)


def against_onnxruntime(model: bytes, x: np.ndarray, request: np.ndarray, answers: list[dict], stage: Stage) -> dict:
    """Orders by ONNX Runtime's scores of the same rows: flips, and NDCG once near-equal scores keep the wasm's order."""
    score = trees.run_onnx(model, {"X": x})["probabilities"][:, 1].astype(float)
    ties, flips, farthest, orders = 0, 0, 0.0, []
    for s, a in zip(per_request(score, request), answers):
        wasm = np.array(a["order"])
        farthest = max(farthest, float(np.abs(s - np.array(a["score"])).max()))
        falls = np.subtract.outer(s[wasm], s[wasm])  # [i, j] > 0: i above j in both, for i before j
        inverted = np.triu(-falls, 1)
        flips += int((inverted >= TIE).sum())
        ties += int(((inverted > 0) & (inverted < TIE)).sum())
        orders.append(sorted_with_ties(wasm, s))
    return {
        "ndcg": float(ordered(stage, orders).mean()),
        "wasm_ndcg": float(ordered(stage, [a["order"] for a in answers]).mean()),
        "flips": flips,
        "flips_within_tie": ties,
        "largest_difference": farthest,
    }


def sorted_with_ties(wasm: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Order by score; a run of neighbours closer than a tie keeps the wasm's order among themselves."""
    best = np.argsort(-score, kind="stable")
    place = np.argsort(wasm)
    runs = np.split(best, np.flatnonzero(-np.diff(score[best]) >= TIE) + 1)
    return np.concatenate([run[np.argsort(place[run], kind="stable")] for run in runs])
