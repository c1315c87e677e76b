"""Nodes that another runtime runs are plain data of the IR, and the same nodes in models of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, helper, numpy_helper
from support.models import FLOAT, make_model

from pyrec_infer.formats import fallback_model, import_model
from pyrec_infer.ir import FOREIGN, Foreign
from pyrec_infer.passes.clean.merge_duplicates import merge_duplicates

KINDS = AttributeProto.AttributeType
NAMES = st.text("abcfgn_", min_size=1, max_size=4) | st.just(FOREIGN)
FLOATS = st.floats(width=32)
INTS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=4).filter(lambda text: not text.endswith("\0"))
TENSORS = st.sampled_from([np.float32, np.float64, np.int8, np.uint64, np.bool_, np.float16]).map(
    lambda kind: numpy_helper.from_array(np.arange(6).reshape(2, 3).astype(kind))
) | st.just(numpy_helper.from_array(np.asarray(["a", "bc"], object)))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "FLOAT": FLOATS,
    "INT": INTS,
    "STRING": TEXTS,
    "TENSOR": TENSORS,
    "FLOATS": st.lists(FLOATS, max_size=3),
    "INTS": st.lists(INTS, max_size=3),
    "STRINGS": st.lists(TEXTS, max_size=3),
}
ATTRIBUTES = st.dictionaries(
    NAMES,
    st.sampled_from(list(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])),
    max_size=4,
)


def text_of(item: onnx.AttributeProto) -> bytes:
    """An attribute without what tensors are called, and in what field their numbers lie."""
    if item.type != KINDS.TENSOR:
        return item.SerializeToString()
    value = numpy_helper.to_array(item.t)
    return f"{item.name} {value.dtype} {value.tolist()}".encode()


@pytest.mark.once
@settings(max_examples=40)
@given(ATTRIBUTES, st.sampled_from([("com.a.b", "Op"), ("com.a", "b.Op")]), st.integers(1, 9))
def test_a_node_of_another_runtime_is_the_same_node_in_a_model_of_its_own(
    attributes: dict[str, tuple[str, Any]], operator: tuple[str, str], version: int
) -> None:
    domain, name = operator
    node = helper.make_node(name, ["x", "", "w"], ["", "y"], "it", domain=domain, overload="o")
    node.attribute.extend(
        helper.make_attribute(key, value, attr_type=KINDS.Value(kind))
        for key, (kind, value) in attributes.items()
    )
    proto = make_model([node], {"x": (FLOAT, ["N"]), "w": (FLOAT, ["N"])}, {"y": (FLOAT, ["N"])})
    proto.opset_import.append(helper.make_opsetid(domain, version))
    (found,) = import_model(proto.SerializeToString()).graph.nodes
    assert isinstance(found.attributes[FOREIGN], Foreign)
    assert found.attributes.keys() == {*attributes, FOREIGN}, "passes may know the operator"
    assert not any(isinstance(value, bytes) for value in found.attributes[FOREIGN].attributes.values())
    made = onnx.load_from_string(fallback_model(found, [np.dtype(np.float32), None, None]))
    (again,) = made.graph.node
    assert [*map(text_of, again.attribute)] == [*map(text_of, node.attribute)]
    for one in (again, node):
        one.ClearField("attribute")
    assert again == node
    assert {entry.domain: entry.version for entry in made.opset_import} == {
        entry.domain: entry.version for entry in proto.opset_import
    }


def test_equal_nodes_of_another_runtime_stay_apart() -> None:
    """Nobody here knows whether what such a node gives follows from what it reads."""
    nodes = [helper.make_node("RandomNormalLike", ["x"], [name]) for name in ("a", "b")]
    nodes.append(helper.make_node("Sub", ["a", "b"], ["y"]))
    proto = make_model(nodes, {"x": (FLOAT, ["N"])}, {"y": (FLOAT, ["N"])})
    assert len(merge_duplicates(import_model(proto.SerializeToString()).graph).nodes) == 3
