"""Give the columns of a matrix input names of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from pyrec_infer.errors import InputError
from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.passes.common.rewrite import free_name, rename_values


def split_columns(graph: Graph, columns: Mapping[str, Sequence[str]]) -> Graph:
    """Replace matrix inputs by one input for each named column, joined again inside the graph.

    Parameters
    ----------
    graph : Graph
    columns : mapping of str to sequence of str
        For a matrix input ``[N, C]`` the names of its C columns. A name that is given to several
        columns in a row makes one input ``[N, w]``; a single column's input is ``[N]``.

    Raises
    ------
    InputError
        If an input does not exist, is no matrix of that many columns, or a name is taken by another
        input or by an output. Values inside the graph give way.
    """
    named = {label for labels in columns.values() for label in labels}
    graph = _renamed(graph, named)
    inputs = list(graph.inputs)
    infos = dict(graph.infos)
    constants: dict[str, Array] = dict(graph.constants)
    joined: list[Node] = []
    for name, labels in columns.items():
        info = infos.get(name) if name in inputs else None
        if info is None:
            raise InputError(f"columns: the model has no input {name!r}, its inputs are {', '.join(inputs)}")
        if info.shape is None or len(info.shape) != 2 or info.shape[1] != len(labels) or info.rows != 0:
            raise InputError(
                f"columns: input {name!r} has shape {info.shape}, expected a matrix of {len(labels)} columns"
            )
        groups = [(label, len(list(group))) for label, group in groupby(labels)]
        labelled = [label for label, _ in groups]
        _require_free(name, labelled, {*inputs, *graph.outputs, ""})
        axes = free_name(f"{name}/columns/axes", named)
        constants[axes] = np.asarray([1], np.int64)
        parts = []
        for label, width in groups:
            shape = info.shape[:1] if width == 1 else (info.shape[0], width)
            infos[label] = Info(info.dtype, shape, 0)
            parts.append(free_name(f"{label}/column", named) if width == 1 else label)
            if width == 1:
                joined.append(Node("Unsqueeze", (label, axes), (parts[-1],), name=f"column {label}"))
        joined.append(Node("Concat", tuple(parts), (name,), {"axis": 1}, name=f"columns of {name}"))
        position = inputs.index(name)
        inputs[position : position + 1] = labelled
        del infos[name]
    return graph.with_(inputs=tuple(inputs), infos=infos, constants=constants, nodes=(*joined, *graph.nodes))


def _require_free(name: str, labels: Sequence[str], taken: set[str]) -> None:
    for label in labels:
        if label in taken or labels.count(label) > 1:
            other = "an input" if label == name else "another input or an output"
            reason = (
                "is given to columns that are not side by side"
                if label not in taken
                else f"is that of {other}"
            )
            raise InputError(f"columns: the name {label!r} for a column of input {name!r} {reason}")


def _renamed(graph: Graph, labels: set[str]) -> Graph:
    """The graph without values inside it that have one of the names, or one made of them."""
    inside = {*graph.constants, *graph.producers} - {*graph.inputs, *graph.outputs}
    derived = {free_name(f"{label}/column", labels) for label in labels}
    derived |= {free_name(f"{name}/columns/axes", labels) for name in graph.inputs}
    taken = inside | labels | derived | set(graph.inputs)
    moved: dict[str, str] = {}
    for name in sorted(inside & (labels | derived)):
        moved[name] = free_name(f"{name}/inside", taken)
        taken.add(moved[name])
    return rename_values(graph, moved) if moved else graph
