"""What a catalogue takes from its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrec_infer.arguments import Signature
from pyrec_infer.backends.base import Fallbacks
from pyrec_infer.backends.select import make_executor
from pyrec_infer.execution.planning import plan_graph
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.formats import Imported
from pyrec_infer.ir import Array, Graph
from pyrec_infer.outputs import Wanted
from pyrec_infer.passes import Context
from pyrec_infer.plan import Plan


@dataclass(frozen=True)
class Source:
    """Where a catalogue's model came from, and what of it was asked for.

    Attributes
    ----------
    read : callable
        The model as it was read from its file, with what it was loaded with.
    output, by
        As for `Model.catalog`.
    """

    read: Callable[[], Imported]
    output: Any
    by: Any


@dataclass(frozen=True)
class ModelPart:
    """What a catalogue takes from its model.

    Attributes
    ----------
    signature : Signature
        The model's inputs.
    graph : Graph
        From these to the output that is the score.
    backend : str
    pool : _native.ThreadPool or None
        The threads that the plans share.
    max_bytes : int
        Memory that one call may work in.
    fallbacks : mapping of Node to callable
        For the nodes that another runtime runs.
    precision : str
        Of the layers that run for each candidate.
    notes : tuple of str
        What `explain` says of the precision.
    wanted : Wanted
        Turns the scores into what the caller gets.
    source : Source
    """

    signature: Signature
    graph: Graph
    backend: str
    pool: Any
    max_bytes: int
    fallbacks: Fallbacks
    precision: str
    notes: tuple[str, ...]
    wanted: Wanted
    source: Source

    def ready(self, plan: Plan) -> ReadyPlan:
        """A plan, ready to run."""
        return ReadyPlan(plan, make_executor(plan, self.backend, self.pool, self.fallbacks, self.max_bytes))

    def once(self, graph: Graph, sample: Mapping[str, Array] | None = None) -> ReadyPlan:
        """The plan of what is done when an item enters, ready to run; of records where a sample of the items
        that they are made of is given."""
        own = None if self.backend == "numba" else sample
        return self.ready(plan_graph(graph, Context(strict_ids=True, sample=own)))


_SAMPLE = 1 << 12
"""Items that are looked at to see which ids come again."""


def sample_of(items: Mapping[str, Array]) -> dict[str, Array]:
    """The ids of the first items, which tell how often they come again; copies."""
    return {name: ids[:_SAMPLE].copy() for name, ids in items.items() if _are_ids(ids)}


def _are_ids(values: object) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.ndim in (1, 2)


__all__ = ["ModelPart", "Source", "sample_of"]
