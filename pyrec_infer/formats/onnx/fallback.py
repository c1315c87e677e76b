"""Nodes that only another runtime can run: as plain data of the IR, and as one-node models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

from pyrec_infer.formats.onnx.check import standard
from pyrec_infer.formats.onnx.files import element_type
from pyrec_infer.ir import FOREIGN, Attribute, Foreign, Node


def foreign_node(
    proto: onnx.NodeProto, attributes: Mapping[str, Attribute], versions: Mapping[str, int]
) -> Foreign:
    """What `fallback_model` has to know of a node; ``attributes`` are its values by name."""
    kinds = {item.name: AttributeProto.AttributeType.Name(item.type) for item in proto.attribute}
    return Foreign(proto.domain, proto.op_type, proto.overload, dict(attributes), kinds, dict(versions))


def _attribute(name: str, value: Any, kind: str) -> onnx.AttributeProto:
    if isinstance(value, np.ndarray):
        value = numpy_helper.from_array(value.astype(object) if value.dtype.kind == "U" else value)
    made: onnx.AttributeProto = helper.make_attribute(
        name, value, attr_type=AttributeProto.AttributeType.Value(kind)
    )
    return made


def foreign_proto(node: Node) -> onnx.NodeProto:
    """Such a node as its file had it."""
    foreign = node.attributes[FOREIGN]
    assert isinstance(foreign, Foreign)
    proto = helper.make_node(
        foreign.name, node.inputs, node.outputs, node.name, domain=foreign.domain, overload=foreign.overload
    )
    proto.attribute.extend(
        _attribute(name, value, foreign.kinds[name]) for name, value in foreign.attributes.items()
    )
    return proto


def fallback_model(node: Node, dtypes: Sequence[np.dtype[Any] | None]) -> bytes:
    """A serialised ONNX model that holds the node alone.

    Parameters
    ----------
    node : Node
        A node whose operator is unknown here; its attribute is a `Foreign`.
    dtypes : sequence of dtype or None
        Of the node's inputs; None is taken as float32.
    """
    foreign = node.attributes[FOREIGN]
    assert isinstance(foreign, Foreign)
    proto = foreign_proto(node)
    inputs = [
        helper.make_tensor_value_info(name, element_type(dtype or np.dtype(np.float32)), None)
        for name, dtype in dict(zip(node.inputs, dtypes, strict=False)).items()
        if name
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs if name]
    graph = helper.make_graph([proto], "fallback", inputs, outputs)
    opsets = [
        helper.make_opsetid("" if standard(domain) else domain, version)
        for domain, version in foreign.versions.items()
    ]
    data: bytes = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    return data
