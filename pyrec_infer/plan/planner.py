"""From a graph to a plan: which node runs in which phase, and what passes between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Graph, Node, Rate, RowAxis, Rows
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.registry import depends_on_batch_size
from pyrec_infer.ops.core.texts import is_text, runs_in_phases, touches_texts
from pyrec_infer.ops.masked import most_positions
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.repeat import Derived
from pyrec_infer.plan.data import DerivedPlan, Export, Import, Kind, Phase, Plan, PlanInput
from pyrec_infer.plan.sources import Sources

_TILE_BYTES = 1 << 18
"""Working set that a tile's widest values should keep to: a share of a core's second-level cache."""


class _Planner:
    """Assigns every node to a phase; see `build_plan`."""

    def __init__(self, graph: Graph, request: frozenset[str]) -> None:
        self.graph = graph
        analysis = analyze(graph)
        self.infos = analysis.infos
        self.coupled = set() if graph.static_rows == 1 else set(analysis.coupled)
        # All that does not come with the request belongs to an item here, whose rows a tile holds.
        by_row = frozenset(name for name in graph.inputs if self.infos[name].rows != Rows.INVARIANT)
        self.rates = find_rates(graph, Sides(request, by_row - request))
        self.levels: dict[str, int] = {}
        self.size_nodes: dict[str, Node] = {}

    def rows(self, name: str) -> RowAxis:
        one = self.graph.static_rows == 1 and self.levels.get(name, 0)
        return 0 if one else self.infos[name].rows

    def split_strings(self) -> tuple[list[Node], list[Node], list[Node]]:
        """Nodes before, in and after the phases; those that phases have no form for run outside of them."""
        outside = {
            node
            for node in self.graph.nodes
            if touches_texts(node, self.infos) and not runs_in_phases(node, self.infos)
        }
        first = self.before(outside)
        late: set[str] = set()
        prologue, middle, epilogue = [], [], []
        for node in self.graph.nodes:
            if node in first:
                prologue.append(node)
            elif node in outside or any(name in late for name in node.inputs if name):
                epilogue.append(node)
                late.update(name for name in node.outputs if name)
            else:
                middle.append(node)
        return prologue, middle, epilogue

    def before(self, outside: Set[Node]) -> set[Node]:
        """The nodes that run before the phases: of those outside the ones that strings alone lead to, and
        what these read."""
        early: set[str] = {*self.graph.inputs, *self.graph.constants}
        strings: list[Node] = []
        for node in self.graph.nodes:
            if touches_texts(node, self.infos) and all(name in early for name in node.inputs if name):
                strings.append(node)
                early.update(node.outputs)
        found: set[Node] = set()
        needed: set[str] = set()
        for node in reversed(strings):
            if node in outside or any(name in needed for name in node.outputs):
                found.add(node)
                needed.update(name for name in node.inputs if name)
        return found

    def is_size_node(self, node: Node) -> bool:
        """Whether the node computes sizes only, so that every phase can have its own copy."""
        if node.op == "pyrec.DimValues":
            return True
        if not any(name in self.size_nodes for name in node.inputs):
            return False
        return all(
            not name or name in self.size_nodes or name in self.graph.constants for name in node.inputs
        ) and all(not name or self.infos[name].contents is not None for name in node.outputs)

    def level(self, node: Node) -> int:
        """Number of the node's phase: 0 the request's, odd ones tiled, even ones whole."""
        before = max((self.levels[name] for name in node.inputs if name in self.levels), default=0)
        if self.graph.static_rows:
            return before
        # In a tile the batch's size is the tile's, which a size read off the whole batch would not fit.
        unresolved = any(
            depends_on_batch_size(self.infos[name])
            for name in (*node.inputs, *node.outputs)
            if name and name not in self.size_nodes
        )
        if node in self.coupled or unresolved:
            return before if before % 2 == 0 and before > 0 else before + 1 + (before + 1) % 2
        if before == 0:
            return 0
        by_row = any(self.infos[name].rows >= 0 for name in node.inputs if name)
        return before if before % 2 == 1 or not by_row else before + 1

    def assign(self, nodes: Iterable[Node], native_inputs: Iterable[PlanInput]) -> dict[int, list[Node]]:
        for item in native_inputs:
            self.levels[item.name] = 0 if item.request or item.rows == Rows.INVARIANT else 1
        phases: dict[int, list[Node]] = {}
        for node in nodes:
            if self.is_size_node(node):
                self.size_nodes.update((name, node) for name in node.outputs if name)
                continue
            level = self.level(node)
            self.levels.update((name, level) for name in node.outputs if name)
            phases.setdefault(level, []).append(node)
        return phases

    def add_sizes(self, name: str, needed: dict[Node, None]) -> None:
        """Add the size node that makes a value, after those that it needs itself."""
        node = self.size_nodes.get(name)
        if node is not None and node not in needed:
            for source in node.inputs:
                self.add_sizes(source, needed)
            needed[node] = None

    def with_sizes(self, nodes: Sequence[Node], wanted: Iterable[str]) -> tuple[Node, ...]:
        """The nodes with the size nodes they need, in order."""
        needed: dict[Node, None] = {}
        for name in (*(name for node in nodes for name in node.inputs), *wanted):
            self.add_sizes(name, needed)
        return (*needed, *nodes)

    def import_of(self, name: str, level: int, inputs: Mapping[str, PlanInput]) -> Import:
        made = self.levels[name]
        given = inputs.get(name)
        rows = given.rows if given else self.rows(name)
        if level == 0 or rows < 0:
            return Import(name, "whole", -1)
        if made == 0:
            repeated = not self.graph.static_rows
            return Import(name, "repeat" if repeated else "whole", rows if repeated else -1)
        return Import(name, "slice", rows) if level % 2 == 1 else Import(name, "whole", rows)

    def tile_rows(self, nodes: Sequence[Node]) -> int:
        widest = 1
        most = most_positions(self.graph.nodes, self.infos)
        for node in nodes:
            for name in node.outputs:
                info = self.infos.get(name) if name else None
                if info is None or info.shape is None or info.dtype is None:
                    continue
                width = 16 if is_text(info) else info.dtype.itemsize
                for size in info.shape:
                    width *= size if isinstance(size, int) else size.coefficient
                    for symbol in () if isinstance(size, int) else size.symbols:
                        width *= most.get(symbol, 1)
                widest = max(widest, width)
        return int(np.clip(_TILE_BYTES // widest // 8 * 8, 16, 256))

    def native_inputs(self, prologue: Sequence[Node], rest: Sequence[Node]) -> dict[str, PlanInput]:
        """What the phases read from outside: inputs, and what the prologue makes of strings."""
        graph = self.graph
        made_early = {name for node in prologue for name in node.outputs if name}
        wanted = {name for node in rest for name in node.inputs if name}
        wanted.update(graph.outputs)
        inputs: dict[str, PlanInput] = {}
        for name in (*graph.inputs, *sorted(made_early)):
            info = self.infos[name]
            if name not in wanted and (name in made_early or is_text(info)):
                continue
            if info.dtype is None or info.shape is None:
                raise AssertionError(f"value {name!r} has no type")
            on_request = self.rates[name] == Rate.REQUEST
            rows = Rows.INVARIANT if name in made_early and self.rates[name] == Rate.MODEL else info.rows
            inputs[name] = PlanInput(name, info.dtype, info.shape, rows, on_request)
        return inputs

    def results(self, epilogue: Sequence[Node], phases: dict[int, list[Node]]) -> list[str]:
        """What comes out of the phases."""
        graph = self.graph
        late_needs = {name for node in epilogue for name in node.inputs if name}
        outputs = [
            name
            for name in dict.fromkeys((*graph.outputs, *sorted(late_needs)))
            if (name in self.levels or name in self.size_nodes or name in graph.constants)
            and not (is_text(self.infos[name]) and name in graph.constants)
        ]
        for name in outputs:
            # What no phase makes (a constant, a size) is copied by the last phase.
            if name not in self.levels:
                last = max(phases, default=0)
                phases.setdefault(last, [])
                self.levels[name] = last
        return outputs

    def phase(
        self,
        level: int,
        phases: Mapping[int, Sequence[Node]],
        outputs: Iterable[str],
        inputs: Mapping[str, PlanInput],
    ) -> Phase:
        own = [name for name in outputs if self.levels[name] == level]
        nodes = self.with_sizes(phases[level], own)
        made = {name for node in nodes for name in node.outputs if name}
        used = dict.fromkeys(name for node in nodes for name in node.inputs if name)
        imports = [
            self.import_of(name, level, inputs)
            for name in used
            if name not in made and name not in self.graph.constants
        ]
        later = {
            name for other, group in phases.items() if other > level for node in group for name in node.inputs
        }
        kind: Kind = "request" if level == 0 else "tile" if level % 2 else "whole"
        exported = [
            name
            for name in dict.fromkeys((*made, *own))
            if (name in later or name in own)
            and name not in inputs
            and not (name in self.size_nodes and name not in own)
        ]
        exports = [Export(name, self.rows(name) if kind == "tile" else -1) for name in exported]
        return Phase(kind, nodes, tuple(imports), tuple(exports))

    def build(self) -> Plan:
        graph = self.graph
        prologue, middle, epilogue = self.split_strings()
        inputs = self.native_inputs(prologue, (*middle, *epilogue))
        phases = self.assign(middle, inputs.values())
        outputs = self.results(epilogue, phases)
        tiled = [node for level, group in phases.items() if level % 2 for node in group]
        return Plan(
            given=graph.inputs,
            inputs=tuple(inputs.values()),
            prologue=tuple(prologue),
            phases=tuple(self.phase(level, phases, outputs, inputs) for level in sorted(phases)),
            epilogue=tuple(epilogue),
            outputs=tuple(
                Export(name, 0 if graph.static_rows == 1 else max(self.rows(name), -1)) for name in outputs
            ),
            constants=graph.constants,
            infos=self.infos,
            rates=self.rates,
            coupled=tuple(node for node in graph.nodes if node in self.coupled),
            tile_rows=graph.static_rows or self.tile_rows(tiled),
            static_rows=graph.static_rows,
            results=graph.outputs,
            sources=Sources(graph, self.infos),
        )


def build_plan(graph: Graph, request: Iterable[str]) -> Plan:
    """Cut a compiled graph into phases.

    Parameters
    ----------
    graph : Graph
        As the pipeline leaves it.
    request : iterable of str
        The inputs that come with the request; all others come with the candidates.

    Returns
    -------
    Plan
        Values that depend on the request alone are computed once for it. The rest runs over tiles
        of rows up to the first node that couples rows, which runs on all rows at once; what follows
        is tiled again.
    """
    return _Planner(graph, frozenset(request)).build()


def with_derived(plan: Plan, derived: Sequence[tuple[Derived, Plan]], one_request: str) -> Plan:
    """A plan some of whose inputs are made from the others.

    Parameters
    ----------
    plan : Plan
        Of a graph that `separate_bounds` made.
    derived : sequence of (Derived, Plan)
    one_request : str
        See `Plan`.
    """
    parts = tuple(DerivedPlan(made, part.request) for part, made in derived)
    labels = {name: label for part, _ in derived for name, label in part.labels.items()}

    def ordered(inner: Plan) -> Plan:
        last = [replace(item, label=labels[item.name]) for item in inner.inputs if item.name in labels]
        first = [item for item in inner.inputs if item.name not in labels]
        return replace(
            inner,
            given=tuple(name for name in inner.given if name not in labels),
            inputs=(*first, *last),
            alternative=inner.alternative and ordered(inner.alternative),
            few=inner.few and ordered(inner.few),
            sources=inner.sources.renamed(labels),
        )

    return replace(ordered(plan), derived=parts, one_request=one_request)


__all__ = ["build_plan", "with_derived"]
