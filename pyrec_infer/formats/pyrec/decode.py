"""Graphs of plain data and arrays, which may be hostile."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.formats.onnx.signature import check_foreign, check_signature
from pyrec_infer.formats.pyrec.values import value_of
from pyrec_infer.formats.source import Imported, Options
from pyrec_infer.formats.tensors import TensorFile, members, texts_of, unpacked, whole_of
from pyrec_infer.ir import (
    BATCH,
    ELEMENT_TYPES,
    FOREIGN,
    Attribute,
    Dim,
    Foreign,
    Graph,
    Info,
    Node,
    Rows,
    Size,
    fault,
    has_symbol,
    same_size,
    verify,
)
from pyrec_infer.limits import MAX_RANK
from pyrec_infer.ops import OPS

_DEEPEST = 32
"""Bodies inside bodies."""

_LARGEST = (1 << 62) - 1


def _size_of(plain: Any, where: str) -> Size:
    if type(plain) is str and plain:
        return Dim.symbol(plain)
    return whole_of(plain, f"{where}, shape", 0, _LARGEST)


def _info_of(plain: Any, where: str) -> Info:
    name, shape, rows, sequence = members(plain, where, dtype=str, shape=object, rows=int, sequence=bool)
    if name and name not in ELEMENT_TYPES:
        raise ModelError(f"{where}: unknown element type")
    dtype = ELEMENT_TYPES.get(name)
    if shape is None:
        if rows != Rows.INVARIANT:
            raise ModelError(f"{where}: expected no rows where nothing is known of the shape")
        return Info(dtype, None, sequence=sequence)
    if type(shape) is not list or len(shape) > MAX_RANK:
        raise ModelError(f"{where}: expected a shape of at most {MAX_RANK} axes")
    sizes = tuple(_size_of(size, where) for size in shape)
    if not Rows.INVARIANT <= rows < len(sizes):
        raise ModelError(f"{where}: expected rows along one of its axes, or along none")
    return Info(dtype, sizes, rows, sequence=sequence)


def _require_placed(graph: Graph) -> None:
    """Each input of a model is a tensor of known type, and has its rows where the batch is."""
    for name in graph.inputs:
        info = graph.infos[name]
        if info.dtype is None or info.shape is None or info.sequence:
            raise ModelError(f"input {name!r}: expected a tensor of known type and rank")
        if graph.static_rows:
            placed = info.rows == 0 and same_size(info.shape[0], 1)
        else:
            axes = [axis for axis, size in enumerate(info.shape) if has_symbol(size, BATCH)]
            placed = axes == ([] if info.rows == Rows.INVARIANT else [info.rows])
        if not placed:
            raise ModelError(f"input {name!r}: expected its rows along the axis of the batch")


def _foreign_of(plain: Any, attributes: dict[str, Attribute], where: str) -> Foreign:
    domain, name, overload, kinds, versions = members(
        plain, f"{where}, foreign", domain=str, name=str, overload=str, kinds=dict, versions=dict
    )
    texts_of(list(kinds.values()), f"{where}, kinds")
    for version in versions.values():
        whole_of(version, f"{where}, versions", 1, 1 << 31)
    return Foreign(domain, name, overload, attributes, kinds, versions)


def _check_own(node: Node) -> None:
    """Hold a node of an operator of the IR alone against what readers of files give it."""
    given = OPS[node.op].given
    if not given:
        raise fault(ModelError, node, "no file may hold this operator")
    if not node.attributes.keys() <= given.keys():
        raise fault(ModelError, node, f"expected attributes {', '.join(given)}")
    for key, value in node.attributes.items():
        if type(value) is not given[key]:
            raise fault(ModelError, node, f"attribute {key!r}: expected {given[key].__name__}")
    if len(node.inputs) != 1 or node.bodies:
        raise fault(ModelError, node, f"expected one input and no body, got {len(node.inputs)}")


class _Decoder:
    def __init__(self, file: TensorFile) -> None:
        self.file = file

    def node(self, plain: Any, where: str, depth: int) -> Node:
        op, name, inputs, outputs, attributes, bodies, foreign = members(
            plain,
            where,
            op=str,
            name=str,
            inputs=list,
            outputs=list,
            attributes=dict,
            bodies=list,
            foreign=object,
        )
        given = {key: value_of(self.file, value, f"{where}, {key}") for key, value in attributes.items()}
        made = dict(given)
        if foreign is not None:
            made[FOREIGN] = _foreign_of(foreign, given, where)
        closed = [self.graph(body, f"{where}, body {place}", depth + 1) for place, body in enumerate(bodies)]
        node = Node(
            op,
            texts_of(inputs, f"{where}, inputs"),
            texts_of(outputs, f"{where}, outputs"),
            made,
            tuple(closed),
            name,
        )
        if foreign is not None:
            check_foreign(node)
        elif op not in OPS:
            raise fault(ModelError, node, "unknown operator")
        else:
            (_check_own if op.startswith("pyrec.") else check_signature)(node)
            OPS[op].check(node)
        return node

    def graph(self, plain: Any, where: str, depth: int = 0) -> Graph:
        if depth > _DEEPEST:
            raise ModelError(f"{where}: bodies are nested too deep")
        inputs, outputs, infos, constants, nodes, static_rows = members(
            plain,
            where,
            inputs=list,
            outputs=list,
            infos=dict,
            constants=dict,
            nodes=list,
            static_rows=int,
        )
        names = texts_of(inputs, f"{where}, inputs")
        if infos.keys() != {*names} or not all((*names, *constants)):
            raise ModelError(f"{where}: expected names of inputs and constants, and a type of each input")
        return Graph(
            names,
            texts_of(outputs, f"{where}, outputs"),
            tuple(self.node(node, f"{where}, node {place}", depth) for place, node in enumerate(nodes)),
            {
                name: unpacked(self.file, mention, f"{where}, constant {name!r}")
                for name, mention in constants.items()
            },
            {name: _info_of(infos[name], f"{where}, input {name!r}") for name in names},
            whole_of(static_rows, f"{where}, static_rows", 0, 0 if depth else 1),
        )


def _labels(plain: dict[str, Any], where: str) -> dict[str, tuple[str, ...]]:
    return {name: texts_of(labels, f"{where} {name!r}") for name, labels in plain.items()}


def read_model(file: TensorFile, content: Any) -> Imported:
    """The model that plain data of a file stand for.

    Raises
    ------
    ModelError
        If they break a rule of graphs; names the place.
    """
    where = file.where
    graph, dropped, fixed_rows, presumed, matrices, precision, columns, schema = members(
        content,
        where,
        graph=dict,
        dropped_inputs=list,
        fixed_rows=int,
        presumed=dict,
        matrices=dict,
        precision=str,
        columns=dict,
        schema=str,
    )
    made = _Decoder(file).graph(graph, where)
    verify(made, "import")
    _require_placed(made)
    labels = _labels(matrices, f"{where}, columns of")
    first = {info.shape[0] for info in made.infos.values() if info.shape}
    if fixed_rows and (fixed_rows < 2 or fixed_rows not in {size for size in first if type(size) is int}):
        raise ModelError(f"{where}, fixed_rows: expected the first size of an input")
    if not {name for names in (presumed, *labels.values()) for name in names} <= {*made.inputs}:
        raise ModelError(f"{where}: expected names of inputs")
    texts_of([*presumed.values()], f"{where}, presumed")
    ignored = frozenset(texts_of(dropped, f"{where}, dropped_inputs"))
    if not ignored.isdisjoint(made.inputs):
        raise ModelError(f"{where}, dropped_inputs: expected none of the inputs")
    text = unpacked(file, schema, f"{where}, schema")
    if text.dtype != np.uint8:
        raise ModelError(f"{where}, schema: expected bytes")
    options = Options(precision, _labels(columns, f"{where}, columns of"), text.tobytes())
    return Imported(made, ignored, fixed_rows, presumed, labels, options)


__all__ = ["read_model"]
