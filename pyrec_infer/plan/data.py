"""Plans: a graph cut into phases for one way to split its inputs into request and candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from pyrec_infer.ir import (
    BATCH,
    Array,
    Dim,
    Info,
    Node,
    Rate,
    RowAxis,
    Size,
)
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.masked import most_positions
from pyrec_infer.passes.finish.find_product import ItemProduct
from pyrec_infer.plan.sources import Sources

Mode: TypeAlias = Literal["whole", "slice", "repeat"]
Kind: TypeAlias = Literal["request", "tile", "whole"]
Runner: TypeAlias = Literal["native", "numpy", "onnxruntime"]


@dataclass(frozen=True, slots=True)
class PlanInput:
    """One input as the plan reads it; `request` tells the side, `label` the name in messages."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[Size, ...]
    rows: RowAxis
    request: bool
    label: str = ""


@dataclass(frozen=True, slots=True)
class Import:
    """A value of an earlier phase or an input, as a phase sees it.

    ``whole`` is the value itself, ``slice`` the current tile's rows along ``axis``, ``repeat`` the
    request's single row repeated to the number of rows.
    """

    value: str
    mode: Mode
    axis: int


@dataclass(frozen=True, slots=True)
class Export:
    """A value that later phases or the caller read; ``axis`` is -1 if it is the same in every tile."""

    value: str
    axis: int


@dataclass(frozen=True)
class Phase:
    """Nodes that run together: once for the request, for each tile of rows, or on all rows at once."""

    kind: Kind
    nodes: tuple[Node, ...]
    imports: tuple[Import, ...]
    exports: tuple[Export, ...]

    @property
    def at_once(self) -> bool:
        """Whether one thread alone takes all rows at once, as tiles would only be copied together."""
        return self.kind == "tile" and len(self.nodes) == 1 and has(self.nodes[0], Trait.FILLS)


@dataclass(frozen=True)
class DerivedPlan:
    """A plan whose results are inputs of another, made once for a call from all rows of one side."""

    plan: Plan
    request: bool


@dataclass(frozen=True)
class ProductPlan:
    """The product that a score rises with, and what makes its request's part."""

    product: ItemProduct
    request: Plan


@dataclass(frozen=True)
class Plan:
    """What a backend runs.

    Attributes
    ----------
    given : tuple of str
        The model's inputs that a call has to give.
    inputs : tuple of PlanInput
        What the phases read, in the order in which arrays are given.
    prologue, epilogue : tuple of Node
        Operators on strings, evaluated in Python before and after the phases.
    phases : tuple of Phase
    outputs : tuple of Export
        Values that come out of the phases, with their row axis or -1.
    constants : mapping of str to ndarray
    infos : mapping of str to Info
        What is known of every value.
    rates : mapping of str to Rate
        Of every value.
    coupled : tuple of Node
        Nodes that tie the rows of the batch together.
    tile_rows : int
    static_rows : int
        The model is compiled for so many rows at a time; 0 if for any number.
    results : tuple of str
        The model's outputs, made by the phases or the epilogue.
    sources : Sources
        For error messages: what values are made from.
    alternative : Plan, optional
        With the same inputs and outputs: serves the requests for which an operator of this plan raises
        `UseAlternativeError`.
    few : Plan, optional
        With the same inputs and outputs, for requests with fewer than ``few_rows`` candidates: it does less
        for a request and more for a candidate.
    few_rows : int
    derived : tuple of DerivedPlan
        What makes the last inputs, which no caller gives; the first ones are given.
    one_request : str
        Why several requests cannot be scored in one call; empty where they can.
    product : ProductPlan or str
        The product with the records of a catalogue that the only score rises with, or why there is none.
    """

    given: tuple[str, ...]
    inputs: tuple[PlanInput, ...]
    prologue: tuple[Node, ...]
    phases: tuple[Phase, ...]
    epilogue: tuple[Node, ...]
    outputs: tuple[Export, ...]
    constants: Mapping[str, Array]
    infos: Mapping[str, Info]
    rates: Mapping[str, Rate]
    coupled: tuple[Node, ...]
    tile_rows: int
    static_rows: int
    results: tuple[str, ...]
    sources: Sources = field(default_factory=Sources)
    alternative: Plan | None = None
    few: Plan | None = None
    few_rows: int = 0
    derived: tuple[DerivedPlan, ...] = ()
    one_request: str = ""
    product: ProductPlan | str = ""

    @property
    def selects_in_tiles(self) -> bool:
        """Whether the best candidates can be chosen from each tile's scores while they are in cache: the only
        result is one number for each candidate, comes out of tiles as it is, and no other phase reads it."""
        if len(self.outputs) != 1 or self.prologue or self.epilogue or self.static_rows:
            return False
        (output,) = self.outputs
        info = self.infos[output.value]
        numbers = info.dtype is not None and info.dtype.kind in "fiub"
        narrow = info.shape is not None and all(
            isinstance(size, int) and size == 1 for size in info.shape[1:]
        )
        made = any(output in phase.exports for phase in self.phases if phase.kind == "tile")
        read = any(output.value == item.value for phase in self.phases for item in phase.imports)
        return numbers and made and narrow and not read and output.axis == 0

    def repeated(self, arrays: Mapping[str, Array], requests: int) -> dict[str, Array]:
        """The given inputs with those of the candidates once for each request."""
        found = dict(arrays)
        for name, array in arrays.items():
            axis = self.infos[name].rows
            if axis >= 0 and self.rates[name] != Rate.REQUEST:
                found[name] = np.concatenate([array] * requests, axis=axis)
        return found

    def rate_of(self, node: Node) -> Rate:
        """When a node can run."""
        return Rate.MODEL.join(*(self.rates.get(name, Rate.MODEL) for name in node.outputs if name))

    def most_positions(self) -> dict[str, int]:
        """See `pyrec_infer.ops.masked.most_positions`."""
        return most_positions((node for phase in self.phases for node in phase.nodes), self.infos)

    def runs(self, op: str) -> bool:
        """Whether a node of the phases has this operator."""
        return any(node.op == op for phase in self.phases for node in phase.nodes)

    def given_inputs(self) -> tuple[PlanInput, ...]:
        """The inputs that a caller gives."""
        made = {name for part in self.derived for name in part.plan.results}
        return tuple(item for item in self.inputs if item.name not in made)

    def symbols(self) -> tuple[str, ...]:
        """The named sizes in the order of their numbers; the batch is number 0."""
        found = dict.fromkeys(
            name
            for item in self.inputs
            for size in item.shape
            if isinstance(size, Dim)
            for name in size.symbols
        )
        found.pop(BATCH, None)
        return (BATCH, *found)


__all__ = ["DerivedPlan", "Export", "Import", "Kind", "Phase", "Plan", "PlanInput", "ProductPlan", "Runner"]
