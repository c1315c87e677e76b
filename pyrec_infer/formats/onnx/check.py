"""Rules of the ONNX format that the conversion relies on, checked before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import AttributeProto, TensorProto, defs

from pyrec_infer.errors import ModelError, UnsupportedModelError

_MAX_NODES = 1_000_000
"""Nodes that a graph may have once its functions are expanded."""

INTERNAL = "pyrec"
"""Domain of the IR's own operators, which no file may name."""

_TEXT_OF_TENSORS = tuple(
    field
    for field in TensorProto.DESCRIPTOR.fields
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE)
)

FunctionKey: TypeAlias = tuple[str, str, str]


def standard(domain: str) -> bool:
    """Whether a domain is ONNX's own, which has two names."""
    return domain in ("", "ai.onnx")


def operators(nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    """The nodes and those of all bodies inside them."""
    for node in nodes:
        yield node
        for item in node.attribute:
            if item.type == AttributeProto.GRAPH:
                yield from operators(item.g.node)


def _tensor_text(tensor: TensorProto) -> list[tuple[FieldDescriptor, Any]]:
    """The fields of a tensor that may hold text; a look at all would copy its elements."""
    return [(field, getattr(tensor, field.name)) for field in _TEXT_OF_TENSORS]


def check_text(message: Message, where: str) -> None:
    """Refuse names that are not UTF-8, which the parser lets through as bytes."""
    for field, value in _tensor_text(message) if isinstance(message, TensorProto) else message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in (value,) if isinstance(value, Message) else value:
                check_text(inner, where)
        elif field.type == field.TYPE_STRING:
            for text in (value,) if isinstance(value, (str, bytes)) else value:
                if isinstance(text, bytes):
                    raise ModelError(f"{where} is damaged: a {field.name} is not UTF-8")


def check_opset(versions: Mapping[str, int]) -> None:
    """Refuse a version of ONNX's own operator set that is none, or that nobody knows here."""
    if versions.get("ai.onnx", 1) < 1:
        raise ModelError(f"the model imports opset {versions['ai.onnx']}, expected at least 1")
    if versions.get("ai.onnx", 1) > defs.onnx_opset_version():
        raise UnsupportedModelError(
            f"the model uses opset {versions['ai.onnx']}, the installed onnx package knows "
            f"{defs.onnx_opset_version()}"
        )


def read_opsets(proto: onnx.ModelProto) -> dict[str, int]:
    """The version of each operator set that the model imports; ONNX's own is ``ai.onnx``.

    Raises
    ------
    ModelError
        If two versions of one set are imported, or a node is from a set that is not.
    """
    versions: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = "ai.onnx" if standard(entry.domain) else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ModelError(f"the model imports versions {versions[domain]} and {entry.version} of {domain}")
    check_opset(versions)
    local = {function.domain for function in proto.functions}
    for node in operators(proto.graph.node):
        domain = "ai.onnx" if standard(node.domain) else node.domain
        if domain not in versions and node.domain not in local:
            raise ModelError(
                f"node {node.name!r} ({node.op_type}) is of operator set {domain}, "
                "which the model does not import"
            )
    return versions


def _function_key(function: onnx.FunctionProto) -> FunctionKey:
    return function.domain, function.name, function.overload


def _calls(
    nodes: Iterable[onnx.NodeProto], known: Mapping[FunctionKey, object]
) -> tuple[int, Counter[FunctionKey]]:
    """The number of nodes, and how often each function is called."""
    keys = [(node.domain, node.op_type, node.overload) for node in operators(nodes)]
    return len(keys), Counter(key for key in keys if key in known)


def check_functions(proto: onnx.ModelProto) -> None:
    """Refuse functions that call themselves or that grow without measure when expanded."""
    functions = {_function_key(function): function for function in proto.functions}
    if len(functions) != len(proto.functions):
        raise ModelError("two functions of the model have the same name")
    calls = {key: _calls(function.node, functions) for key, function in functions.items()}
    try:
        order = list(TopologicalSorter({key: called for key, (_, called) in calls.items()}).static_order())
    except CycleError as error:
        raise ModelError(f"function {error.args[1][0][1]!r} calls itself") from None
    sizes: dict[FunctionKey, int] = {}
    for key in order:
        own, called = calls[key]
        sizes[key] = own + sum(count * sizes[other] for other, count in called.items())
    own, called = _calls(proto.graph.node, functions)
    total = own + sum(count * sizes[other] for other, count in called.items())
    if total > _MAX_NODES:
        raise ModelError(f"expected at most {_MAX_NODES} nodes with all functions expanded, got {total}")


def check_node(node: onnx.NodeProto, versions: Mapping[str, int]) -> None:
    """Hold a node against its operator's schema: numbers of inputs and outputs, attributes.

    Raises
    ------
    ModelError
        Names the node, what is expected and what the file has.
    """
    where = f"node {node.name!r} ({node.op_type})"
    if node.domain == INTERNAL:
        raise UnsupportedModelError(f"{where}: there is no operator set {INTERNAL!r}")
    if len({item.name for item in node.attribute}) != len(node.attribute):
        raise ModelError(f"{where} has two attributes of one name")
    domain = "" if standard(node.domain) else node.domain
    if not defs.has(node.op_type, domain):
        return
    version = versions.get(domain or "ai.onnx", 1)
    try:
        schema = defs.get_schema(node.op_type, version, domain)
    except defs.SchemaError:
        schema = defs.get_schema(node.op_type, domain)
    for role, count, least, most in (
        ("inputs", len(node.input), schema.min_input, schema.max_input),
        ("outputs", len(node.output), schema.min_output, schema.max_output),
    ):
        if not least <= count <= most:
            expected = (
                f"{least}" if least == most else f"{least} or more" if most > 1000 else f"{least} to {most}"
            )
            raise ModelError(f"{where}: expected {expected} {role}, got {count}")
    known = schema.attributes
    kinds = AttributeProto.AttributeType
    for item in node.attribute:
        if item.name not in known:
            raise ModelError(
                f"{where}: no attribute {item.name!r} in opset {version}, expected {', '.join(known)}"
            )
        expected_kind = int(known[item.name].type.value)  # type: ignore[attr-defined]
        if item.type != expected_kind:
            given = kinds.Name(item.type) if item.type in kinds.values() else str(item.type)
            raise ModelError(
                f"{where}: attribute {item.name!r}: expected {kinds.Name(expected_kind)}, got {given}"
            )
    given_names = {item.name for item in node.attribute}
    for name, attribute in known.items():
        if attribute.required and name not in given_names:
            raise ModelError(f"{where}: attribute {name!r} is missing")


__all__ = [
    "INTERNAL",
    "check_functions",
    "check_node",
    "check_opset",
    "check_text",
    "operators",
    "read_opsets",
    "standard",
]
