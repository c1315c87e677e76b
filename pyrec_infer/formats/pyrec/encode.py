"""Graphs as plain data and arrays, and models as files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.formats.pyrec.values import value_to
from pyrec_infer.formats.source import Imported
from pyrec_infer.formats.tensors import Packed, write_tensors
from pyrec_infer.ir import FOREIGN, Dim, Foreign, Graph, Info, Node, Size

KIND = "model"

CATALOGUE = "catalogue"
"""The kind of a file that holds a model and items."""

ITEMS = "items/"
"""What names of tensors begin with that are of such a file's items."""


def _size_to(size: Size, where: str) -> int | str:
    if not isinstance(size, Dim):
        return int(size)
    if size.coefficient != 1 or len(size.symbols) != 1:
        raise UnsupportedModelError(f"{where}: a size of {size} cannot be saved")
    return size.symbols[0]


def _info_to(info: Info, where: str) -> dict[str, Any]:
    if info.constant is not None or info.contents is not None:
        raise UnsupportedModelError(f"{where}: an input whose value is known cannot be saved")
    return {
        "dtype": "" if info.dtype is None else info.dtype.name,
        "shape": None if info.shape is None else [_size_to(size, where) for size in info.shape],
        "rows": int(info.rows),
        "sequence": info.sequence,
    }


def _node_to(packed: Packed, name: str, node: Node) -> dict[str, Any]:
    foreign = node.attributes.get(FOREIGN)
    given = foreign.attributes if isinstance(foreign, Foreign) else node.attributes
    made: dict[str, Any] = {
        "op": node.op,
        "name": node.name,
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "attributes": {key: value_to(packed, f"{name}/{key}", value) for key, value in given.items()},
        "bodies": [
            _graph_to(packed, f"{name}/bodies/{place}", body) for place, body in enumerate(node.bodies)
        ],
        "foreign": None,
    }
    if isinstance(foreign, Foreign):
        own = {"domain": foreign.domain, "name": foreign.name, "overload": foreign.overload}
        made["foreign"] = {**own, "kinds": dict(foreign.kinds), "versions": dict(foreign.versions)}
    return made


def _graph_to(packed: Packed, name: str, graph: Graph) -> dict[str, Any]:
    return {
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "infos": {key: _info_to(graph.infos[key], f"input {key!r}") for key in graph.inputs},
        "constants": {
            key: packed.put(f"{name}/constants/{key}", value) for key, value in graph.constants.items()
        },
        "nodes": [_node_to(packed, f"{name}/nodes/{place}", node) for place, node in enumerate(graph.nodes)],
        "static_rows": graph.static_rows,
    }


def packed_model(imported: Imported, packed: Packed) -> dict[str, Any]:
    """The plain data of a model; its arrays go to the others.

    Raises
    ------
    UnsupportedModelError
        If there is something in it that no file can hold.
    """
    options = imported.options
    return {
        "graph": _graph_to(packed, "graph", imported.graph),
        "dropped_inputs": sorted(imported.dropped_inputs),
        "fixed_rows": imported.fixed_rows,
        "presumed": dict(imported.presumed),
        "matrices": {name: list(labels) for name, labels in imported.columns.items()},
        "precision": options.precision,
        "columns": {name: list(labels) for name, labels in options.columns.items()},
        "schema": packed.put("schema", np.frombuffer(options.schema, np.uint8)),
    }


def save_model(imported: Imported, path: str | os.PathLike[str]) -> None:
    """Write a model's graph, as it was read, and what it is loaded with.

    Raises
    ------
    SaveError
        If the system cannot write it.
    UnsupportedModelError
        If there is something in it that no file can hold.
    """
    packed = Packed()
    content = packed_model(imported, packed)
    write_tensors(path, KIND, content, packed.tensors)


__all__ = ["CATALOGUE", "ITEMS", "KIND", "packed_model", "save_model"]
