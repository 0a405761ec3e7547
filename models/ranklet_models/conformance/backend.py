"""ONNX's own node tests, those that a ranker could meet.

Taken are the tests whose graph, of one node or expanded into several, uses only the operators below, in f32, i32, i64
and bool up to rank 4. Inputs that decide a shape, an axis or a count are made initialisers: no plan can have them computed.
"""

import re
import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from .case import Case

ELEMENTS = {TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
MAX_RANK = 4

REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"
LISTED = set("""
    Relu LeakyRelu PRelu Elu Selu Celu Gelu Mish HardSigmoid HardSwish Softplus Softsign Sigmoid Tanh Erf Clip
    Gemm MatMul BatchNormalization LayerNormalization Softmax LogSoftmax
    Add Sub Mul Div Pow Mod Abs Neg Sign Sqrt Exp Log Reciprocal Floor Ceil Round Min Max Sum Mean
    Less LessOrEqual Greater GreaterOrEqual Equal And Or Xor Not Where IsNaN IsInf
    Cast Constant ConstantOfShape Shape Size Identity Dropout
    Gather GatherElements GatherND OneHot Concat Split Slice Reshape Flatten Transpose Squeeze Unsqueeze Expand Tile Pad
    TopK ArgMax ArgMin CumSum Range Einsum Trilu GRU LSTM RNN
    TreeEnsembleRegressor TreeEnsembleClassifier TreeEnsemble LinearRegressor LinearClassifier Scaler Normalizer Imputer
    Binarizer LabelEncoder OneHotEncoder ArrayFeatureExtractor FeatureVectorizer ZipMap
    QuantizeLinear DequantizeLinear DynamicQuantizeLinear MatMulInteger
    """.split()) | {f"Reduce{name}" for name in REDUCTIONS.split()}
"""What issue 4 names, its general words spelled out."""

BEYOND = set("""
    Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh ThresholdedRelu Shrink Swish Hardmax
    LpNormalization RMSNormalization Attention CastLike ScatterElements ScatterND EyeLike
    """.split())
"""What rankers rarely hold; shown apart."""

DECIDING = {
    "Reshape": [1],
    "Expand": [1],
    "Tile": [1],
    "ConstantOfShape": [0],
    "Range": [0, 1, 2],
    "Slice": [1, 2, 3, 4],
    "Pad": [1, 3],
    "Squeeze": [1],
    "Unsqueeze": [1],
    "Split": [1],
    "TopK": [1],
    "OneHot": [1],
    "CumSum": [1],
    "Trilu": [1],
    "Dropout": [1, 2],
    **{f"Reduce{name}": [1] for name in REDUCTIONS.split()},
    # Not listed themselves: their expansions are Range, Pad, Slice and arithmetic.
    "CenterCropPad": [1],
    "BlackmanWindow": [0],
    "HammingWindow": [0],
    "HannWindow": [0],
}
"""Inputs by operator that decide a shape, an axis or a count."""

TRAINING = re.compile("training")


def cases():
    """The chosen tests; a cell is (operator of the test, `single` or `expanded`)."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the tests' own arithmetic on purpose overflows and divides by zero
        from onnx.backend.test.case.node import collect_testcases

        tests = collect_testcases(None)
    singles = {test.name: test.model for test in tests if len(test.model.graph.node) == 1 and not test.model.functions}
    for test in tests:
        base = test.name.split("_expanded")[0]
        origin = singles.get(base)
        if origin is None or TRAINING.search(test.name):
            continue
        node = origin.graph.node[0]
        bound = {node.input[i] for i in DECIDING.get(node.op_type, []) if i < len(node.input)}
        if not _uses_only(test.model, LISTED | BEYOND):
            continue
        form = "single" if test.name == base else "expanded"
        for index, data in enumerate(test.data_sets):
            name = test.name if index == 0 else f"{test.name}/{index}"
            case = _case(name, test.model, data, bound, (node.op_type, form))
            if case is not None:
                yield case


def listed(operator):
    """Whether issue 4 names the operator."""
    return operator in LISTED


def _uses_only(model, operators):
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    own = {function.name for function in model.functions}
    plain = all(
        a.type not in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for node in nodes for a in node.attribute
    )
    return plain and all(node.op_type in operators or node.op_type in own for node in nodes)


def _case(name, source, data, deciding, cell):
    """The test as a case, or None if its types or ranks are out of what is asked."""
    model = onnx.ModelProto()
    model.CopyFrom(source)
    given, answers = data
    inputs = {}
    kept = []
    for port, value in zip(model.graph.input, given):
        if not _fits(port, value):
            return None
        value = np.asarray(value)
        if port.name in deciding:
            model.graph.initializer.append(numpy_helper.from_array(value, port.name))
        else:
            inputs[port.name] = value
            kept.append(port)
    ports = list(zip(model.graph.output, answers))
    if not all(_fits(port, value) for port, value in ports):
        return None
    del model.graph.input[:]
    model.graph.input.extend(kept)
    outputs = {port.name: np.asarray(value) for port, value in ports}
    return Case(name, model, inputs, outputs, (cell,), kinds=dict.fromkeys(outputs, "shared"))


def _fits(port, value):
    kind = port.type
    if not kind.HasField("tensor_type") or kind.tensor_type.elem_type not in ELEMENTS:
        return False
    return not isinstance(value, (list, tuple)) and value is not None and np.ndim(value) <= MAX_RANK
