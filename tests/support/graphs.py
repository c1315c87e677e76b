"""Small graphs that tests of passes write, and whether two of them mean the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node, same_size, verify
from pyrec_infer.passes.clean.remove_identities import remove_identities
from pyrec_infer.passes.common.rules import Site
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.recognise import recognise
from support.random_graphs import equal, evaluate

N = Dim.symbol(BATCH)
F32, F16, I64 = np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.int64)
LENGTH, LARGEST_ID = 7, 4
"""Of axes with a name of their own, and of inputs of whole numbers."""

XZ: Mapping[str, Sequence[int]] = {"x": (4,), "z": (4,)}
"""Two inputs, where it does not matter which."""

AXES: Mapping[str, Any] = {
    "zero": np.asarray([0]),
    "one": np.asarray([1]),
    "two": np.asarray([2]),
    "last": np.asarray([-1]),
}
"""Constants that operators read axes from."""


def graph_of(
    nodes: Sequence[Node],
    constants: Mapping[str, Any] | None = None,
    outputs: tuple[str, ...] = ("y",),
    dtype: np.dtype[Any] = F32,
    ids: Iterable[str] = (),
    **sizes: Sequence[Any],
) -> Graph:
    """A graph of inputs with the given sizes after the rows; those called ``ids`` are whole numbers."""
    whole = set(ids)
    infos = {name: Info(I64 if name in whole else dtype, (N, *size), 0) for name, size in sizes.items()}
    stored = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = Graph(tuple(sizes), outputs, tuple(nodes), stored, infos)
    verify(graph, "the test")
    return graph


def site_of(graph: Graph, sides: Sides | None = None) -> Site:
    """What a rule sees behind the last node of a graph."""
    site = Site(graph, sides)
    site.producers.update(graph.producers)
    return site


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def inputs_for(graph: Graph, rows: int, seed: int = 0, request: Iterable[str] = ()) -> dict[str, Array]:
    """Quarters, so that sums are exact in any order; inputs of the request are one row repeated."""
    generator = np.random.default_rng(seed)
    repeated, made = set(request), {}
    for name in graph.inputs:
        info = graph.infos[name]
        open_sizes = [rows if same_size(size, N) else size for size in info.shape or ()]
        sizes = [LENGTH if isinstance(size, Dim) else size for size in open_sizes]
        if info.dtype is not None and info.dtype.kind in "iub":
            value = generator.integers(0, 2 if info.dtype.kind == "b" else LARGEST_ID + 1, sizes)
        else:
            value = generator.integers(-8, 9, sizes) / 4
        value = value.astype(info.dtype)
        made[name] = np.repeat(value[:1], rows, axis=0) if name in repeated else value
    return made


def alike(before: Graph, after: Graph, rows: int = 5, request: Iterable[str] = (), **given: Array) -> Graph:
    """The second graph, once it is known to mean the same as the first."""
    verify(after, "the pass")
    inputs = {**inputs_for(before, rows, request=request), **given}
    expected, made = evaluate(before, inputs, rows), evaluate(after, inputs, rows)
    assert expected.keys() == made.keys()
    for name, value in expected.items():
        assert equal(made[name], value), name
    return after


def applied(step: Callable[..., Graph], graph: Graph, *more: Any, **given: Array) -> Graph:
    """The graph after a pass, once it is known to mean the same."""
    request = [name for sides in more if isinstance(sides, Sides) for name in sides.request]
    return alike(graph, step(graph, *more), request=request, **given)


def recognised(graph: Graph) -> Graph:
    """The graph after all patterns, once it is known to mean the same."""
    return alike(graph, remove_identities(recognise(graph)))
