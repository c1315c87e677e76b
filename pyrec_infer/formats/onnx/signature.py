"""Nodes of graphs that were read before, held against ONNX's schemas again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from onnx import defs

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.onnx.check import INTERNAL, check_node, check_opset, standard
from pyrec_infer.formats.onnx.convert import ELEMENT_ATTRIBUTES
from pyrec_infer.formats.onnx.fallback import foreign_proto
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import ELEMENT_TYPES, FOREIGN, Attribute, Foreign, Node, fault
from pyrec_infer.ops import OPS

_BODY = "GRAPH"


class _Signature(NamedTuple):
    """What some version of an operator takes: the IR's form has attributes of several."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    kinds: Mapping[str, str]
    required: frozenset[str]
    """By the newest version."""


@cache
def _signatures() -> Mapping[str, _Signature]:
    versions: dict[str, list[defs.OpSchema]] = {}
    for schema in sorted(defs.get_all_schemas_with_history(), key=lambda schema: schema.since_version):
        name = schema.name if standard(schema.domain) else f"{schema.domain}.{schema.name}"
        versions.setdefault(name, []).append(schema)
    return {name: _signature(schemas) for name, schemas in versions.items()}


def _signature(schemas: Sequence[defs.OpSchema]) -> _Signature:
    kinds = {
        key: attribute.type.name  # type: ignore[attr-defined]
        for schema in schemas
        for key, attribute in schema.attributes.items()
    }
    newest = schemas[-1].attributes
    return _Signature(
        (min(schema.min_input for schema in schemas), max(schema.max_input for schema in schemas)),
        (min(schema.min_output for schema in schemas), max(schema.max_output for schema in schemas)),
        kinds,
        frozenset(key for key, attribute in newest.items() if attribute.required),
    )


def _is_of(kind: str, key: str, value: Attribute) -> bool:
    if kind == "INT":
        return type(value) is int or (key in ELEMENT_ATTRIBUTES and value in ELEMENT_TYPES)
    if isinstance(value, tuple):
        item: type = {"INTS": int, "FLOATS": float, "STRINGS": str}.get(kind, type(None))
        return all(type(one) is item for one in value) and item is not type(None)
    wanted: type = {"FLOAT": float, "STRING": str, "TENSOR": np.ndarray}.get(kind, type(None))
    return isinstance(value, wanted)


def check_signature(node: Node) -> None:
    """Hold a node of an operator of the IR against ONNX's schemas of it, if it has any.

    Raises
    ------
    ModelError
        Names the node, and what is expected.
    """
    signature = _signatures().get(node.op)
    if signature is None:
        return
    captures = node.attributes.get("captures", 0) if node.bodies else 0
    if type(captures) is not int or not 0 <= captures <= len(node.inputs):
        raise fault(ModelError, node, "captures: expected a number of its inputs")
    bodies = sum(signature.kinds[key] == _BODY for key in signature.required)
    for role, count, (least, most) in (
        ("inputs", len(node.inputs) - captures, signature.inputs),
        ("outputs", len(node.outputs), signature.outputs),
        ("bodies", len(node.bodies), (bodies, bodies)),
    ):
        if not least <= count <= most:
            raise fault(ModelError, node, f"expected {least} to {most} {role}, got {count}")
    given = node.attributes.keys() - ({"captures"} if node.bodies else set())
    for key in sorted(given):
        if not _is_of(signature.kinds.get(key, ""), key, node.attributes[key]):
            raise fault(ModelError, node, f"attribute {key!r}: no version of the operator has such a one")
    for key in sorted(signature.required - given):
        if signature.kinds[key] != _BODY:
            raise fault(ModelError, node, f"attribute {key!r} is missing")


def check_foreign(node: Node) -> None:
    """The same of a node whose operator has no meaning here.

    Raises
    ------
    ModelError
        Names the node, and what is expected.
    """
    foreign = node.attributes[FOREIGN]
    assert isinstance(foreign, Foreign)
    op = foreign.name if standard(foreign.domain) else f"{foreign.domain}.{foreign.name}"
    if op != node.op or op in OPS or foreign.domain == INTERNAL or node.bodies:
        raise fault(ModelError, node, "expected an operator that has no meaning here")
    if standard(foreign.domain) and not defs.has(foreign.name):
        raise fault(UnsupportedModelError, node, "ONNX has no such operator")
    if foreign.kinds.keys() != foreign.attributes.keys():
        raise fault(ModelError, node, "expected the kind of each attribute")
    domain = "ai.onnx" if standard(foreign.domain) else foreign.domain
    if domain not in foreign.versions:
        raise fault(ModelError, node, f"expected a version of operator set {domain}")
    check_opset(foreign.versions)
    try:
        proto = foreign_proto(node)
    except (TypeError, ValueError, AttributeError, KeyError, AssertionError) as error:
        let_interrupts_pass(error)
        raise fault(ModelError, node, "an attribute is of another kind than it is said to be") from None
    check_node(proto, foreign.versions)


__all__ = ["check_foreign", "check_signature"]
