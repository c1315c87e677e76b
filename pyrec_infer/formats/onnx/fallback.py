"""One-node models for operators that only another runtime can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from pyrec_infer.formats.onnx.files import element_type
from pyrec_infer.ir import Node


def fallback_model(node: Node, dtypes: Sequence[np.dtype[Any] | None]) -> bytes:
    """A serialised ONNX model that holds the node alone.

    Parameters
    ----------
    node : Node
        A node whose operator is unknown here; it carries its own ONNX form.
    dtypes : sequence of dtype or None
        Of the node's inputs; None is taken as float32.
    """
    proto = onnx.NodeProto()
    serialised = node.attributes["pyrec.node"]
    assert isinstance(serialised, bytes)
    proto.ParseFromString(serialised)
    # Passes may have renamed the values since.
    for field, names in ((proto.input, node.inputs), (proto.output, node.outputs)):
        del field[:]
        field.extend(names)
    opsets = node.attributes["pyrec.opsets"]
    assert isinstance(opsets, str)
    versions: Mapping[str, int] = {
        domain: int(version) for domain, version in (item.rsplit("=", 1) for item in opsets.split(";"))
    }
    inputs = [
        helper.make_tensor_value_info(name, element_type(dtype or np.dtype(np.float32)), None)
        for name, dtype in dict(zip(proto.input, dtypes, strict=False)).items()
        if name
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in proto.output if name]
    graph = helper.make_graph([proto], "fallback", inputs, outputs)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(domain, version) for domain, version in versions.items()]
    )
    data: bytes = model.SerializeToString()
    return data
