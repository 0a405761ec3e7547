"""LSTM, GRU and RNN."""

import itertools

import numpy as np

from ..graph import Graph

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}
INPUTS, HIDDEN, STEPS = 3, 4, 5


def cases():
    for name, direction, k in itertools.product(GATES, ("forward", "reverse", "bidirectional"), range(2)):
        yield _plain(name, direction, k)
    for name, k in itertools.product(GATES, range(2)):
        yield _layout(name, k)
        yield _initial(name, k)
        yield _lengths(name, k)
        yield _clip(name, k)
        yield _without_bias(name, k)
        yield _stacked(name, k)
        yield _shared(name, k)
    for k in range(2):
        yield _linear_before_reset(k)
        yield _peepholes(k)
        yield _input_forget(k)
    yield from _activations()


def _weights(g, name, directions, bias=True):
    """W [D, gates x H, I], R [D, gates x H, H], B [D, 2 x gates x H]."""
    rows = GATES[name] * HIDDEN
    shapes = [(directions, rows, INPUTS), (directions, rows, HIDDEN)] + ([(directions, 2 * rows)] if bias else [])
    return [g.const(g.floats(*shape, scale=0.5)) for shape in shapes]


def _sequence(g):
    """Candidates' sequences `[N, STEPS, INPUTS]` turned to the layout of the operator, steps first."""
    return g("Transpose", g.x(STEPS, INPUTS), perm=[1, 0, 2])


def _candidates_first(g, y):
    """Y `[STEPS, D, N, H]` or Y_h `[D, N, H]`, candidates first."""
    return g("Transpose", y, perm=[1, 0, 2])


def _run(g, name, x, weights, *, k, lengths="", initial=(), extra=(), **attributes):
    """Adds the node; all steps for the first graph of a cell, the last states for the second."""
    operands = [x, *weights] + ([""] if len(weights) == 2 else []) + [lengths, *initial, *extra]
    while operands[-1] == "":
        operands.pop()
    found = g(name, *operands, outputs=STATES[name] + 1, hidden_size=HIDDEN, **attributes)
    if k == 0:
        return g.out(g("Transpose", found[0], perm=[2, 0, 1, 3]))
    return g.out(*(_candidates_first(g, state) for state in found[1:]))


def _plain(name, direction, k):
    g = Graph(name, f"direction={direction}", k)
    weights = _weights(g, name, 2 if direction == "bidirectional" else 1)
    return _run(g, name, _sequence(g), weights, k=k, direction=direction).done()


def _layout(name, k):
    """Batch first, done with Transposes, as ONNX Runtime has no layout=1 and so no exporter writes it."""
    g = Graph(name, "batch first", k)
    found = g(name, _sequence(g), *_weights(g, name, 1), outputs=STATES[name] + 1, hidden_size=HIDDEN)
    y = g("Squeeze", found[0], g.const([1]))
    y = g("Transpose", y, perm=[1, 0, 2])
    if k:
        y = g("Gather", y, g.const(-1), axis=1)
    return g.out(g("MatMul", y, g.const(g.floats(HIDDEN, 2)))).done()


def _initial(name, k):
    g = Graph(name, "initial states", k)
    states = []
    for index in range(STATES[name]):
        if k == 0:
            states.append(g("Unsqueeze", g.x(HIDDEN, name=f"H{index}"), g.const([0])))
        else:
            rows = g.given(f"H{index}", g.floats(1, HIDDEN))
            # A state of the request, the same for all candidates.
            size = g("Concat", g("Shape", "X", start=0, end=1), g.const([HIDDEN]), axis=0)
            states.append(g("Unsqueeze", g("Expand", rows, size), g.const([0])))
    return _run(g, name, _sequence(g), _weights(g, name, 1), k=k, initial=states).done()


def _lengths(name, k):
    g = Graph(name, "sequence_lens", k)
    lengths = g.x(name="L", data=g.ints(g.rows, low=1, high=STEPS + 1, dtype=np.int32))
    direction = "forward" if k == 0 else "bidirectional"
    weights = _weights(g, name, 1 + k)
    return _run(g, name, _sequence(g), weights, k=k, lengths=lengths, direction=direction).done()


def _clip(name, k):
    g = Graph(name, "clip", k)
    return _run(g, name, _sequence(g), _weights(g, name, 1), k=k, clip=0.4).done()


def _without_bias(name, k):
    g = Graph(name, "no bias", k)
    return _run(g, name, _sequence(g), _weights(g, name, 1, bias=False), k=k).done()


def _stacked(name, k):
    """Two layers, as PyTorch's num_layers=2."""
    g = Graph(name, "two layers", k)
    rows = GATES[name] * HIDDEN
    first = g(name, _sequence(g), *_weights(g, name, 1), outputs=STATES[name] + 1, hidden_size=HIDDEN)
    middle = g("Squeeze", first[0], g.const([1]))
    shapes = ((1, rows, HIDDEN), (1, rows, HIDDEN), (1, 2 * rows))
    return _run(g, name, middle, [g.const(g.floats(*shape, scale=0.4)) for shape in shapes], k=k).done()


def _shared(name, k):
    """The history of the request, run once for all candidates."""
    g = Graph(name, "of a shared sequence", k)
    x = g("Transpose", g.shared(STEPS, INPUTS), perm=[1, 0, 2])
    found = g(name, x, *_weights(g, name, 1), outputs=STATES[name] + 1, hidden_size=HIDDEN)
    state = g("Squeeze", found[1], g.const([0]))
    items = g.x(HIDDEN)
    y = g("Mul", items, state) if k == 0 else g("MatMul", items, g("Transpose", state, perm=[1, 0]))
    return g.out(y).done()


def _linear_before_reset(k):
    g = Graph("GRU", "linear_before_reset=1", k)
    return _run(g, "GRU", _sequence(g), _weights(g, "GRU", 1), k=k, linear_before_reset=1).done()


def _peepholes(k):
    g = Graph("LSTM", "peepholes", k)
    # Sequence lengths and initial states stand before the peepholes and are absent.
    extra = [g.const(g.floats(1, 3 * HIDDEN, scale=0.4))]
    return _run(g, "LSTM", _sequence(g), _weights(g, "LSTM", 1), k=k, initial=("", ""), extra=extra).done()


def _input_forget(k):
    g = Graph("LSTM", "input_forget=1", k)
    return _run(g, "LSTM", _sequence(g), _weights(g, "LSTM", 1), k=k, input_forget=1).done()


def _activations():
    forms = {"LSTM": ["HardSigmoid", "Relu", "Tanh"], "GRU": ["HardSigmoid", "Relu"], "RNN": ["Relu"]}
    for (name, functions), k in itertools.product(forms.items(), range(2)):
        g = Graph(name, "activations", k)
        attributes = {"activations": functions}
        if "HardSigmoid" in functions and k:
            attributes.update(activation_alpha=[0.3], activation_beta=[0.4])
        yield _run(g, name, _sequence(g), _weights(g, name, 1), k=k, **attributes).done()
    for k in range(2):
        g = Graph("RNN", "activations, both directions", k)
        weights = _weights(g, "RNN", 2)
        yield _run(
            g, "RNN", _sequence(g), weights, k=k, direction="bidirectional", activations=["Tanh", "Sigmoid"]
        ).done()
