"""Reductions, products, convolutions, normalisations and quantisation: native against the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from support.references import evaluate_in_double

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Dim, Graph, Info, Node, verify
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.interpret import interpret
from pyrec_infer.passes.load.expand_composites import expand_composites

pytestmark = pytest.mark.once

F32, F64, F16 = np.float32, np.float64, np.float16


def _native() -> Any:
    return pytest.importorskip("pyrec_infer._native", reason="the native extension is not built")


def _array(dtype: Any, *shape: int, seed: int = 0) -> np.ndarray:
    """Random values of a range that suits the type."""
    random = np.random.default_rng((seed, *shape))
    kind = np.dtype(dtype).kind
    if kind == "f":
        return random.normal(size=shape).astype(dtype)
    if kind == "b":
        return random.random(shape) < 0.5
    low = 0 if kind == "u" else -100
    return random.integers(low, 120, size=shape).astype(dtype)


def _strided(dtype: Any, *shape: int) -> list[np.ndarray]:
    """One shape in several memory layouts."""
    plain = _array(dtype, *shape)
    columns = np.asfortranarray(plain)
    skipping = _array(dtype, *shape[:-1], shape[-1] * 2)[..., ::2]
    reversed_ = plain[..., ::-1]
    repeated = np.broadcast_to(_array(dtype, *shape[:-1], 1), shape)
    return [plain, columns, skipping, reversed_, repeated]


@dataclass(frozen=True)
class Case:
    op: str
    inputs: Sequence[np.ndarray | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    terms: int = 1

    @property
    def wide(self) -> bool:
        """Whether float64 is a closer reference: it is not where scales are rounded to float32."""
        return not any(word in self.op for word in ("uantize", "QLinear", "QGemm", "Integer"))

    def __str__(self) -> str:
        shapes = ",".join("-" if x is None else f"{x.dtype}{list(x.shape)}" for x in self.inputs)
        return f"{self.op}({shapes}){self.attributes or ''}"


def _reductions() -> list[Case]:
    names = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]
    cases = []
    for name in names:
        op = f"Reduce{name}"
        positive = np.abs(_array(F32, 3, 5, 18)) + F32(0.5)
        for axes in ([0], [1], [2], [0, 2], [1, 2], [0, 1, 2], [-2], []):
            given = np.array(axes, np.int64)
            cases.append(Case(op, [positive, given], {"keepdims": len(axes) % 2}, terms=270))
        cases.append(Case(op, [positive], terms=270))
        cases.append(Case(op, [positive], {"noop_with_empty_axes": 1}, terms=4))
        cases.append(Case(op, [positive.astype(F64), np.array([1])], terms=5))
        cases.append(Case(op, [positive.astype(F16), np.array([1])], terms=5))
        cases.append(Case(op, [F32(2.5).reshape(())], terms=1))
        cases.append(Case(op, [_array(F32, 0, 3), np.array([1])]))
        if name != "LogSum":
            cases.append(Case(op, [_array(np.int64, 4, 3) // 20, np.array([0])]))
            cases.append(Case(op, [_array(np.int32, 4, 3) // 20]))
        if name != "Mean":
            cases.append(Case(op, [_array(F32, 2, 0, 3), np.array([1])]))
        if name in ("Sum", "Max", "L2", "LogSumExp"):
            for x in _strided(F32, 4, 6, 9):
                cases.append(Case(op, [x, np.array([1])], terms=54))
                cases.append(Case(op, [x, np.array([-1, 0])], terms=54))
    for name in ("Max", "Min"):
        cases.append(Case(f"Reduce{name}", [_array(np.bool_, 5, 4), np.array([1])]))
        cases.append(Case(f"Reduce{name}", [_array(np.bool_, 0, 4), np.array([0])]))
        cases.append(Case(f"Reduce{name}", [np.array([[1, np.nan, 3]], F32)]))
    return cases


def _products() -> list[Case]:
    cases = []
    shapes = [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((7, 1, 40), (7, 40, 6)),
        ((6, 40), (7, 40, 1)),
        ((3, 2, 4), (4,)),
        ((4,), (3, 4, 2)),
        ((3, 0), (0, 2)),
        ((0, 3), (3, 2)),
        ((33, 70), (70, 19)),
    ]
    for a, b in shapes:
        for dtype in (F32, F64, F16, np.int32, np.uint64):
            cases.append(Case("MatMul", [_array(dtype, *a), _array(dtype, *b, seed=1)], terms=80))
    for a in _strided(F32, 3, 5, 8):
        cases.append(Case("MatMul", [a, _array(F32, 8, 4)], terms=8))
        cases.append(Case("MatMul", [_array(F32, 2, 5), a], terms=8))
        cases.append(Case("MatMul", [_array(F32, 3, 1, 5), a], terms=8))
    a, b = _array(F32, 6, 7), _array(F32, 7, 5, seed=1)
    for c in (None, _array(F32, 5), _array(F32, 1, 5), _array(F32, 6, 1), _array(F32, 6, 5), _array(F32)):
        for more in ({}, {"alpha": 0.5, "beta": 2.0}, {"beta": 0.5}):
            cases.append(Case("Gemm", [a, b, c], more, terms=8))
    cases.append(Case("Gemm", [a.T, b.T, _array(F32, 5)], {"transA": 1, "transB": 1}, terms=8))
    cases.append(Case("Gemm", [a, b, None], {"alpha": 2.0}, terms=8))
    cases.append(
        Case("Gemm", [_array(F64, 2, 3), _array(F64, 3, 4), _array(F64, 4)], {"alpha": 0.3}, terms=3)
    )
    cases.append(Case("Gemm", [_array(F16, 2, 3), _array(F16, 3, 4), _array(F16, 4)], terms=3))
    cases.append(Case("Gemm", [_array(np.int32, 2, 3), _array(np.int32, 3, 4), _array(np.int32, 4)]))
    cases.append(Case("Gemm", [_array(F32, 2, 0), _array(F32, 0, 4), _array(F32, 4)]))
    equations: list[tuple[str, list[tuple[int, ...]]]] = [
        ("ij,jk->ik", [(3, 4), (4, 5)]),
        ("ij,jk", [(3, 4), (4, 5)]),
        ("bhd,bmd->bhmd", [(2, 3, 8), (2, 4, 8)]),
        ("bnik,bnjk->bnij", [(2, 3, 4, 8), (2, 3, 5, 8)]),
        ("bhmd,ohm->bod", [(2, 3, 4, 8), (5, 3, 4)]),
        ("bd,edh->beh", [(3, 4), (2, 4, 5)]),
        ("bd,bd->b", [(3, 8), (3, 8)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]),
        ("ii->i", [(4, 4)]),
        ("...ii->...i", [(2, 4, 4)]),
        ("ij->ji", [(3, 4)]),
        ("ij->", [(3, 4)]),
        ("i,j,k->kij", [(2,), (3,), (4,)]),
        ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]),
        ("ij,ij->ij", [(3, 4), (1, 4)]),
        ("bi,oij,bj->bo", [(3, 4), (2, 4, 5), (3, 5)]),
        ("ij,jk->ik", [(0, 4), (4, 5)]),
        ("ij,jk->ik", [(3, 0), (0, 5)]),
    ]
    for equation, operands in equations:
        for dtype in (F32, F64):
            arrays = [_array(dtype, *shape, seed=i) for i, shape in enumerate(operands)]
            cases.append(Case("Einsum", arrays, {"equation": equation}, terms=40))
    return cases


def _convolutions() -> list[Case]:
    x, w = _array(F32, 2, 4, 9), _array(F32, 6, 4, 3, seed=1)
    image, filters = _array(F32, 3, 4, 7, 6), _array(F32, 6, 2, 3, 2, seed=1)
    cases = [
        Case("Conv", [x, w, _array(F32, 6)], terms=12),
        Case("Conv", [x, _array(F32, 5, 4, 1), _array(F32, 5)], terms=4),
        Case("Conv", [x.transpose(0, 2, 1), _array(F32, 5, 9, 1)], terms=9),
        Case("Conv", [x, w], {"strides": [2], "dilations": [2], "pads": [1, 2]}, terms=12),
        Case("Conv", [image, filters], {"group": 2, "pads": [1, 0, 1, 1]}, terms=12),
        Case("Conv", [image, filters], {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]}, terms=12),
        Case("Conv", [image, filters], {"group": 2, "auto_pad": "SAME_LOWER"}, terms=12),
        Case("Conv", [image.astype(F64), filters.astype(F64)], {"group": 2}, terms=12),
        Case("Conv", [image.astype(F16), filters.astype(F16)], {"group": 2}, terms=12),
        Case("Conv", [_array(F32, 0, 4, 9), w], terms=12),
        Case("Conv", [_array(F32, 1, 2, 4, 5, 3), _array(F32, 3, 2, 2, 2, 2)], terms=16),
        Case("MaxPool", [image], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
        Case("MaxPool", [image], {"kernel_shape": [2, 2], "dilations": [2, 1], "pads": [1, 1, 1, 1]}),
        Case("MaxPool", [_array(np.uint8, 2, 3, 8)], {"kernel_shape": [3]}),
        Case("AveragePool", [image], {"kernel_shape": [3, 2], "pads": [1, 1, 1, 1]}, terms=6),
        Case(
            "AveragePool",
            [image],
            {
                "kernel_shape": [3, 3],
                "strides": [2, 2],
                "pads": [1, 1, 1, 1],
                "ceil_mode": 1,
                "count_include_pad": 1,
            },
            terms=9,
        ),
        Case("GlobalAveragePool", [image], terms=42),
        Case("GlobalMaxPool", [image]),
        Case("ConvInteger", [_array(np.uint8, 2, 2, 5, 5), _array(np.int8, 3, 2, 3, 3), np.uint8(7)]),
    ]
    scale = np.array(0.05, F32)
    quantized = [
        _array(np.uint8, 2, 4, 6),
        scale,
        np.uint8(100),
        _array(np.int8, 6, 2, 3),
        np.linspace(0.01, 0.06, 6, dtype=F32),
        np.zeros(6, np.int8),
        np.array(0.4, F32),
        np.uint8(9),
        _array(np.int32, 6),
    ]
    cases.append(Case("QLinearConv", quantized, {"group": 2, "pads": [1, 1]}))
    return cases


def _normalizations() -> list[Case]:
    cases = []
    # Rows of equal values have no variance, and what rounding leaves of it decides the result.
    repeated = np.broadcast_to(_array(F32, 1, 5, 20), (3, 5, 20))
    layouts = [x for x in _strided(F32, 3, 5, 20) if x.strides[-1] != 0]
    for x in (*layouts, repeated, _array(F64, 3, 5, 20), _array(F16, 3, 5, 20), _array(F32, 0, 5, 4)):
        for axis in (-1, 1, 0):
            for op in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"):
                cases.append(Case(op, [x], {"axis": axis}, terms=20))
        cases.append(Case("LpNormalization", [x], {"axis": 1, "p": 1}, terms=20))
        n = x.shape[-1]
        gamma, beta = _array(x.dtype, n), _array(x.dtype, n, seed=1)
        wide = [_array(x.dtype, *x.shape[1:], seed=i) for i in (2, 3)]
        cases.append(Case("LayerNormalization", [x, gamma, beta], {"axis": -1}, outputs=3, terms=n))
        cases.append(Case("LayerNormalization", [x, *wide], {"axis": 1}, terms=5 * n))
        cases.append(Case("LayerNormalization", [x, gamma], {"axis": 1, "epsilon": 0.1}, terms=5 * n))
        cases.append(Case("RMSNormalization", [x, gamma], {"axis": -1}, terms=n))
        channels = [_array(x.dtype, 5, seed=i) for i in range(3)]
        variance = np.abs(_array(x.dtype, 5, seed=4)) + x.dtype.type(0.1)
        cases.append(Case("BatchNormalization", [x, *channels, variance], terms=4))
        cases.append(Case("InstanceNormalization", [x, *channels[:2]], terms=n))
        cases.append(Case("GroupNormalization", [x, *channels[:2]], {"num_groups": 5}, terms=n))
    flat = _array(F32, 7, 6)
    parameters = [_array(F32, 6, seed=i) for i in range(3)]
    cases.append(Case("BatchNormalization", [flat, *parameters, np.abs(flat[0]) + F32(0.1)], terms=4))
    cases.append(Case("GroupNormalization", [flat, *parameters[:2]], {"num_groups": 2}, terms=4))
    cases.append(Case("Softmax", [np.array([[-np.inf, -np.inf], [np.inf, 0], [1e4, -1e4]], F32)], terms=2))
    return cases


def _quantizations() -> list[Case]:
    x = _array(F32, 3, 4, 6) * F32(40)
    cases = []
    for dtype in (np.int8, np.uint8, np.int16, np.uint16):
        zero = _array(dtype, 4)
        scales = np.linspace(0.1, 0.9, 4, dtype=F32)
        cases.append(Case("QuantizeLinear", [x, np.array(0.5, F32), np.array(zero[0])]))
        cases.append(Case("QuantizeLinear", [x, scales, zero], {"axis": 1}))
        cases.append(
            Case("DequantizeLinear", [_array(dtype, 3, 4, 6), np.array(0.5, F32), np.array(zero[0])])
        )
        cases.append(Case("DequantizeLinear", [_array(dtype, 3, 4, 6), scales, zero], {"axis": -2}))
    blocks = np.abs(_array(F32, 3, 2, 6)) + F32(0.1)
    cases += [
        Case("QuantizeLinear", [x, blocks], {"axis": 1, "block_size": 2, "output_dtype": "int8"}),
        Case("QuantizeLinear", [x, np.array(1e-30, F32)]),
        Case("QuantizeLinear", [np.array([np.nan, np.inf, -np.inf, 0.5, 1.5, -0.5], F32), np.array(1, F32)]),
        Case("QuantizeLinear", [np.array(7.5, F32), np.array(1, F32), np.int8(-3)]),
        Case("DequantizeLinear", [_array(np.int8, 3, 4, 6), blocks], {"axis": 1, "block_size": 3}),
        Case("DequantizeLinear", [_array(np.int32, 5), np.array(0.25, F16)]),
        Case("DynamicQuantizeLinear", [x], outputs=3),
        Case("DynamicQuantizeLinear", [np.zeros((2, 3), F32)], outputs=3),
        Case("DynamicQuantizeLinear", [np.zeros((0, 3), F32)], outputs=3),
    ]
    for a_type in (np.int8, np.uint8):
        for b_type in (np.int8, np.uint8):
            a, b = _array(a_type, 2, 5, 70), _array(b_type, 70, 9)
            batched = _array(b_type, 2, 70, 9)
            cases += [
                Case("MatMulInteger", [a, b]),
                Case("MatMulInteger", [a, b, np.array(3, a_type), _array(b_type, 9)]),
                Case("MatMulInteger", [a, batched, _array(a_type, 5), np.array(5, b_type)]),
                Case("MatMulInteger", [a[0, 0], b, None, np.array([5], b_type)]),
            ]
            y = [np.array(30.0, F32), np.array(11, a_type)]
            quantized_a = [a, np.array(0.05, F32), np.array(3, a_type)]
            quantized_b = [b, np.linspace(0.01, 0.2, 9, dtype=F32), np.zeros(9, b_type)]
            cases.append(Case("QLinearMatMul", [*quantized_a, *quantized_b, *y]))
            flat_a = [a[0], *quantized_a[1:]]
            c = _array(np.int32, 9)
            cases.append(Case("com.microsoft.QGemm", [*flat_a, *quantized_b, c, *y], {"alpha": 0.5}))
            cases.append(Case("com.microsoft.QGemm", [*flat_a, b.T, *quantized_b[1:]], {"transB": 1}))
    return cases


CASES = [*_reductions(), *_products(), *_convolutions(), *_normalizations(), *_quantizations()]


def _node(case: Case) -> Node:
    inputs = tuple("" if x is None else f"x{i}" for i, x in enumerate(case.inputs))
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in case.attributes.items()}
    return Node(case.op, inputs, tuple(f"y{i}" for i in range(case.outputs)), attributes)


def _inputs(case: Case) -> list[np.ndarray | None]:
    return [None if x is None else np.asarray(x) for x in case.inputs]


def _assert_reduction_close(got: np.ndarray, expected: np.ndarray, n: int) -> None:
    """The family reduction(n): sums of n terms in another order; exact for integers."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected)
        return
    epsilon = float(np.finfo(expected.dtype).eps)
    bound = epsilon * (8 + 2 * np.sqrt(n))
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    np.testing.assert_allclose(got, expected, rtol=bound, atol=bound * float(size))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_native_equals_reference(case: Case) -> None:
    native = _native()
    inputs = _inputs(case)
    copies = [None if x is None else x.copy() for x in inputs]
    expected = (
        evaluate_in_double(_node(case), inputs) if case.wide else OPS[case.op].evaluate(_node(case), inputs)
    )
    for isa in native.kernel_backends():
        for constants in (False, True):
            known = [constants and i > 0 and x is not None for i, x in enumerate(inputs)]
            got = native.run_node(isa, case.op, case.attributes, inputs, case.outputs, known)
            for actual, wanted in zip(got, expected, strict=True):
                _assert_reduction_close(np.asarray(actual), wanted, case.terms)
    for x, copy in zip(inputs, copies, strict=True):
        if x is not None and copy is not None:
            np.testing.assert_array_equal(x, copy)


def test_constant_left_operand_of_matmul() -> None:
    native = _native()
    inputs = [_array(F32, 6, 40), _array(F32, 7, 40, 1)]
    expected = np.matmul(*(x.astype(F64) for x in inputs)).astype(F32)
    for isa in native.kernel_backends():
        (got,) = native.run_node(isa, "MatMul", {}, inputs, 1, [True, False])
        _assert_reduction_close(got, expected, 40)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inferred_type_is_the_evaluated_one(case: Case) -> None:
    inputs = _inputs(case)
    infos = [None if x is None else Info(x.dtype, x.shape, constant=x) for x in inputs]
    found = OPS[case.op].infer(_node(case), infos)
    for info, array in zip(found, OPS[case.op].evaluate(_node(case), inputs), strict=True):
        assert info.dtype == array.dtype
        assert info.shape is None or info.shape == array.shape


BAD = [
    Case("ReduceSum", [_array(F32, 2, 3), np.array([2])]),
    Case("ReduceSum", [_array(F32, 2, 3), np.array([1, -1])]),
    Case("MatMul", [_array(F32, 2, 3), _array(F32, 4, 5)]),
    Case("MatMul", [_array(F32), _array(F32, 4, 5)]),
    Case("MatMul", [_array(F32, 2, 3), _array(F64, 3, 5)]),
    Case("Gemm", [_array(F32, 2, 3), _array(F32, 3, 5), _array(F32, 4)]),
    Case("Gemm", [_array(F32, 2, 3, 1), _array(F32, 3, 5)]),
    Case("Einsum", [_array(F32, 2, 3), _array(F32, 4, 5)], {"equation": "ij,jk->ik"}),
    Case("Einsum", [_array(F32, 2, 3)], {"equation": "ij->k"}),
    Case("Einsum", [_array(F32, 2, 3)], {"equation": "i.j->i"}),
    Case("Conv", [_array(F32, 1, 3, 5), _array(F32, 2, 2, 3)]),
    Case("Conv", [_array(F32, 1, 2, 2), _array(F32, 2, 2, 3)]),
    Case("Conv", [_array(F32, 1, 2, 5), _array(F32, 2, 2, 3)], {"strides": [0]}),
    Case("LayerNormalization", [_array(F32, 2, 3), _array(F32, 4)]),
    Case("BatchNormalization", [_array(F32, 2, 3), *[_array(F32, 4)] * 4]),
    Case("QuantizeLinear", [_array(F32, 2, 3), _array(F32, 2)]),
    Case("MatMulInteger", [_array(np.int8, 2, 3), _array(np.int32, 3, 2)]),
]


@pytest.mark.parametrize("case", BAD, ids=str)
def test_what_does_not_fit_is_refused(case: Case) -> None:
    inputs = _inputs(case)
    with pytest.raises((ModelError, ValueError)):
        OPS[case.op].evaluate(_node(case), inputs)
    native = _native()
    for isa in native.kernel_backends():
        for constants in (False, True):
            with pytest.raises(Exception, match=r"\w"):
                native.run_node(isa, case.op, case.attributes, inputs, 1, [constants] * len(inputs))


def test_symbolic_shapes() -> None:
    n = Dim.symbol("N")
    f32 = np.dtype(F32)

    def shape(op: str, *shapes: Any, **attributes: Any) -> Any:
        node = Node(op, tuple(f"x{i}" for i in range(len(shapes))), ("y",), attributes)
        (info,) = OPS[op].infer(node, [Info(f32, shape) for shape in shapes])
        return info.shape

    assert shape("MatMul", (n, 4), (4, 5)) == (n, 5)
    assert shape("MatMul", (n, 1, 4), (n, 4, 5)) == (n, 1, 5)
    assert shape("Gemm", (n, 4), (5, 4), transB=1) == (n, 5)
    assert shape("Einsum", (n, 3, 8), (n, 4, 8), equation="bhd,bmd->bhm") == (n, 3, 4)
    assert shape("Conv", (n, 4, 9), (6, 4, 3)) == (n, 6, 7)
    assert shape("LayerNormalization", (n, 9), (9,)) == (n, 9)


QUANTIZED = [np.array(0.02, F32), np.uint8(120)]
RESULT = [np.array(0.03, F32), np.uint8(100)]
HIDDEN = _array(F32, 2, 3, 8)

COMPOSITES = [
    Case(
        "com.microsoft.FusedGemm",
        [_array(F32, 3, 4), _array(F32, 5, 4), _array(F32, 5)],
        {"transB": 1, "activation": "LeakyRelu", "activation_alpha": 0.2},
    ),
    Case(
        "com.microsoft.FusedGemm",
        [_array(F32, 3, 4), _array(F32, 4, 5), _array(F32, 5)],
        {"activation": "Selu", "activation_alpha": 1.25, "activation_gamma": 1.5},
    ),
    Case(
        "com.microsoft.FusedConv",
        [_array(F32, 2, 3, 6), _array(F32, 4, 3, 2), _array(F32, 4)],
        {"activation": "Clip", "activation_params": [-0.25, 0.5]},
    ),
    Case(
        "com.microsoft.FusedMatMul",
        [_array(F32, 2, 4, 3), _array(F32, 2, 5, 4)],
        {"transA": 1, "transB": 1, "alpha": 0.5},
    ),
    Case("com.microsoft.BiasGelu", [HIDDEN, _array(F32, 8)]),
    Case("com.microsoft.FastGelu", [HIDDEN, _array(F32, 8)]),
    Case("com.microsoft.Gelu", [HIDDEN]),
    Case("com.microsoft.QuickGelu", [HIDDEN], {"alpha": 1.5}),
    Case(
        "com.microsoft.SkipLayerNormalization",
        [
            HIDDEN,
            _array(F32, 2, 3, 8, seed=1),
            _array(F32, 8),
            _array(F32, 8, seed=1),
            _array(F32, 8, seed=2),
        ],
        {"epsilon": 1e-5},
    ),
    Case(
        "com.microsoft.SkipSimplifiedLayerNormalization",
        [HIDDEN, _array(F32, 2, 3, 8, seed=1), _array(F32, 8), _array(F32, 8, seed=2)],
        {"epsilon": 1e-5},
    ),
    Case(
        "com.microsoft.DynamicQuantizeMatMul",
        [_array(F32, 3, 8), _array(np.uint8, 8, 4), np.array(0.1, F32), np.uint8(60), _array(F32, 4)],
    ),
    Case(
        "com.microsoft.MatMulIntegerToFloat",
        [
            _array(np.uint8, 3, 8),
            _array(np.uint8, 8, 4),
            np.array(0.1, F32),
            np.array(0.2, F32),
            np.uint8(60),
            np.uint8(50),
            _array(F32, 4),
        ],
    ),
    Case(
        "com.microsoft.QLinearAdd",
        [_array(np.uint8, 3, 4), *QUANTIZED, _array(np.uint8, 3, 4, seed=1), *QUANTIZED, *RESULT],
    ),
    Case(
        "com.microsoft.QLinearMul",
        [_array(np.uint8, 3, 4), *QUANTIZED, _array(np.uint8, 3, 4, seed=1), *QUANTIZED, *RESULT],
    ),
    Case("com.microsoft.QLinearSigmoid", [_array(np.uint8, 3, 4), *QUANTIZED, *RESULT]),
    Case("com.microsoft.QLinearLeakyRelu", [_array(np.uint8, 3, 4), *QUANTIZED, *RESULT], {"alpha": 0.1}),
    Case("com.microsoft.QLinearGlobalAveragePool", [_array(np.uint8, 3, 4, 5), *QUANTIZED, *RESULT]),
    Case(
        "com.microsoft.QLinearAveragePool",
        [_array(np.uint8, 3, 4, 7), *QUANTIZED, *RESULT],
        {"kernel_shape": [3], "strides": [2], "pads": [1, 1], "count_include_pad": 1},
    ),
    Case(
        "com.microsoft.QLinearConcat",
        [*RESULT, _array(np.uint8, 3, 4), *QUANTIZED, _array(np.uint8, 3, 4, seed=1), *QUANTIZED],
        {"axis": 1},
    ),
    Case("Gelu", [HIDDEN], {"approximate": "tanh"}),
    Case("MeanVarianceNormalization", [_array(F32, 2, 3, 4, 5)]),
]


def _runtime(case: Case) -> Callable[[], list[np.ndarray]]:
    """The same node in onnxruntime."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    domain, _, name = case.op.rpartition(".")
    inputs = _inputs(case)
    node = onnx.helper.make_node(
        name, [f"x{i}" for i in range(len(inputs))], ["y0"], domain=domain, **case.attributes
    )
    typed = [
        onnx.helper.make_tensor_value_info(f"x{i}", onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for i, x in enumerate(inputs)
        if x is not None
    ]
    graph = onnx.helper.make_graph([node], "g", typed, [onnx.ValueInfoProto(name="y0")])
    opsets = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {f"x{i}": x for i, x in enumerate(inputs)})


@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_expanded_composite_equals_onnxruntime(case: Case) -> None:
    inputs = _inputs(case)
    node = _node(case)
    infos = {
        name: Info(x.dtype, x.shape) for name, x in zip(node.inputs, inputs, strict=True) if x is not None
    }
    graph = expand_composites(Graph(node.inputs, node.outputs, (node,), {}, infos))
    verify(graph, "expand_composites")
    assert all(made.op in OPS for made in graph.nodes)
    (got,) = interpret(graph, inputs)
    (expected,) = _runtime(case)()
    assert np.asarray(got).dtype == expected.dtype
    if expected.dtype == np.uint8:
        # onnxruntime's quantised kernels may round a tie the other way.
        assert np.abs(np.asarray(got).astype(int) - expected).max() <= 1
    else:
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


def test_pools_of_channels_that_come_last_stay() -> None:
    pool = Node(
        "com.microsoft.QLinearGlobalAveragePool", ("x", "s", "z", "s", "z"), ("y",), {"channels_last": 1}
    )
    infos = dict.fromkeys(("x", "s", "z"), Info(None, None))
    assert expand_composites(Graph(("x", "s", "z"), ("y",), (pool,), {}, infos)).nodes == (pool,)


def test_composites_inside_bodies_are_expanded() -> None:
    x = Info(np.dtype(F32), (3,))
    body = Graph(("x",), ("y",), (Node("Gelu", ("x",), ("y",)),), {}, {"x": x})
    node = Node("If", ("c", "x"), ("z",), {}, (body, body))
    condition = Info(np.dtype(np.bool_), ())
    graph = expand_composites(Graph(("c", "x"), ("z",), (node,), {}, {"c": condition, "x": x}))
    assert all(made.op != "Gelu" for inner in graph.nodes[0].bodies for made in inner.nodes)
