"""The node cases of the ONNX specification, run through the public interface."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest

import pyrec_infer
from pyrec_infer.errors import PyrecError
from pyrec_infer.ops import OPS

pytestmark = pytest.mark.filterwarnings("ignore")

# What cannot be run or compared, by the name of the case. A case that is listed here must fail.
EXCEPTIONS = {
    "test_batchnorm_*_training_mode": "training",
    "test_training_dropout*": "training",
    "test_if_seq": "a sequence as output of the model",
    "test_split_to_sequence_*": "a sequence as output of the model",
    "test_loop13_seq": "a sequence as input of the model",
    "test_loop16_seq_none": "an optional as input of the model",
    "test_identity_sequence": "a sequence as input of the model",
    "test_identity_opt": "an optional as input of the model",
    "test_optional_get_element_optional_*": "an optional as input of the model",
    "test_optional_get_element_sequence": "a sequence as input of the model",
    "test_optional_has_element_tensor_input": "an optional as input of the model",
    "test_optional_has_element_optional_input": "an optional as input of the model",
    "test_optional_has_element_empty_optional_input": "an optional as input of the model",
    "test_sequence_insert_*": "a sequence as input of the model",
    "test_sequence_map_*": "a sequence as input or output of the model",
    "test_maxpool_with_argmax_2d_precomputed_*": "the indices of MaxPool, which only unpooling reads",
    "test_dft_inverse_opset19": "its zeros are what is left of numbers of 50 in NumPy's order of additions",
    "test_scan_sum": "Scan of opset 8, with an axis for the batch",
}

_NUMPY_TYPES = frozenset(
    getattr(onnx.TensorProto, name)
    for name in [
        "FLOAT",
        "DOUBLE",
        "FLOAT16",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "BOOL",
        "STRING",
    ]
)


class Case(NamedTuple):
    name: str
    model: onnx.ModelProto
    data_sets: list[Any]
    rtol: float
    atol: float


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for item in node.attribute:
            if item.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(item.g)


def _name(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _known(node: onnx.NodeProto) -> bool:
    return _name(node) in OPS or _name(node) in ("Constant", "Scatter")


def _unsupported_types(model: onnx.ModelProto) -> bool:
    """Whether tensors of an element type without a NumPy form occur in the case's own signature."""
    values = (*model.graph.input, *model.graph.output)
    if any(
        value.type.HasField("tensor_type") and value.type.tensor_type.elem_type not in _NUMPY_TYPES
        for value in values
    ):
        return True
    return any(
        tensor.data_type not in _NUMPY_TYPES
        for node in _nodes(model.graph)
        for item in node.attribute
        for tensor in ([item.t] if item.type == onnx.AttributeProto.TENSOR else item.tensors)
    )


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case of the installed onnx package whose operators have a meaning here."""
    from onnx.backend.test.case.node import collect_testcases

    return tuple(
        Case(case.name, case.model, case.data_sets, case.rtol, case.atol)
        for case in collect_testcases(None)
        if all(map(_known, _nodes(case.model.graph))) and not _unsupported_types(case.model)
    )


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    if isinstance(value, (list, dict)) or value is None:
        return value
    value = np.asarray(value)
    return value.astype(str) if value.dtype.kind == "O" else value


def _difference(made: Any, expected: Any, case: Case) -> str | None:
    if isinstance(expected, (list, dict)) or expected is None:
        return "expected no tensor"
    if made.shape != expected.shape:
        return f"shape {made.shape}, expected {expected.shape}"
    if made.dtype.kind == expected.dtype.kind == "U":
        return None if np.array_equal(made, expected) else "other strings"
    if made.dtype != expected.dtype:
        return f"dtype {made.dtype}, expected {expected.dtype}"
    wide = np.float64 if made.dtype.kind == "f" else made.dtype
    if np.allclose(made.astype(wide), expected.astype(wide), case.rtol, case.atol, equal_nan=True):
        return None
    return "other values"


def outcome(case: Case) -> str | None:
    """What is wrong with a case, None if nothing is."""
    try:
        model = pyrec_infer.load(case.model.SerializeToString())
        for given, expected in case.data_sets:
            names = [value.name for value in case.model.graph.input]
            made = model.run(dict(zip(names, map(_array, given), strict=True)))
            for value, array in zip(case.model.graph.output, expected, strict=True):
                wrong = _difference(made[value.name], _array(array), case)
                if wrong is not None:
                    return f"output {value.name}: {wrong}"
    except PyrecError as error:
        return f"{type(error).__name__}: {error}"
    return None


def _listed(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in EXCEPTIONS)


def test_cases_give_the_expected_outputs(backend: str) -> None:
    covered: set[str] = set()
    wrong: dict[str, str] = {}
    passed = 0
    for case in all_cases():
        if _listed(case.name):
            continue
        found = outcome(case)
        if found is not None:
            wrong[case.name] = found
            continue
        passed += 1
        covered.update(_name(node) for node in _nodes(case.model.graph))
    missing = sorted(name for name in set(OPS) - covered if "." not in name)
    print(
        f"{backend}: {passed} cases, {len(covered)} operators; standard operators without a case: {missing}"
    )
    assert not wrong, "\n".join(f"{name}: {text}" for name, text in wrong.items())


def test_exceptions_are_still_needed() -> None:
    listed = [case for case in all_cases() if _listed(case.name)]
    assert not [case.name for case in listed if outcome(case) is None]
    unused = [key for key in EXCEPTIONS if not any(fnmatchcase(case.name, key) for case in listed)]
    assert not unused, "no such cases"


def test_operators_that_are_functions_of_others_are_expanded() -> None:
    """Cases of operators that only the specification's own expansion gives a meaning."""
    from onnx.backend.test.case.node import collect_testcases

    wanted = {"test_hannwindow", "test_hammingwindow", "test_mvn", "test_group_normalization_example"}
    wanted |= {"test_sce_mean_3d", "test_sce_mean_weight_ii_3d", "test_affine_grid_2d"}
    cases = [Case(c.name, c.model, c.data_sets, c.rtol, c.atol) for c in collect_testcases(None)]
    chosen = [case for case in cases if case.name in wanted]
    assert {case.name: outcome(case) for case in chosen} == dict.fromkeys(wanted)
