"""Local rewrite rules: each looks at one node and what it reads, and gives what stands for its result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from pyrec_infer.ir import Array, Dim, Graph, Node, Rate, Shape, Size
from pyrec_infer.ops.core.inference import analyze, analyze_node, constant_info
from pyrec_infer.ops.core.shapes import constant_integers, same_shape
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.common.rewrite import rename_inputs
from pyrec_infer.passes.common.sides import Sides, find_rates, rate_of
from pyrec_infer.passes.common.writer import Writer
from pyrec_infer.passes.load.resolve_sizes import input_symbols, sizes_node

_MAX_ROUNDS = 8
_APPLICATIONS_PER_NODE = 40
"""Bounds on the work for one graph; what is left is correct, only less simple."""


class Site(Writer):
    """What a rule sees of the graph, and where it puts the nodes that it makes.

    Attributes
    ----------
    infos : dict of str to Info
        Of every value, also of those that rules make.
    rates : dict of str to Rate
        Likewise; empty where the inputs are not split.
    """

    def __init__(self, graph: Graph, sides: Sides | None = None) -> None:
        super().__init__()
        self._graph = graph
        analysis = analyze(graph)
        self.infos = analysis.infos
        self._taken = self.infos
        self.rates: dict[str, Rate] = {} if sides is None else find_rates(graph, sides)
        self.constants: dict[str, Array] = dict(graph.constants)
        self.producers: dict[str, Node] = {}
        self._coupled: set[Node] = set(analysis.coupled)
        self._symbols = input_symbols(graph)

    def source(self, name: str, *ops: str) -> Node | None:
        """The node that makes a value, if it is one of these operators (any, if none is named)."""
        node = self.producers.get(name)
        return node if node is not None and (not ops or node.op in ops) else None

    def shape(self, name: str) -> Shape | None:
        return self.infos[name].shape

    def sizes(self, name: str) -> tuple[int, ...] | None:
        """The shape after the first axis, if that holds the rows and all others are known."""
        info = self.infos[name]
        if not info.shape or info.rows != 0 or any(isinstance(size, Dim) for size in info.shape[1:]):
            return None
        return tuple(size for size in info.shape[1:] if isinstance(size, int))

    def known(self, name: str) -> Array | None:
        """The value, where it is the same in every run."""
        return self.infos[name].constant if name else None

    def integers(self, name: str) -> tuple[int, ...] | None:
        return constant_integers(self.infos[name]) if name else None

    def coupled(self, node: Node) -> bool:
        return node in self._coupled

    def rate(self, name: str) -> Rate:
        return self.rates.get(name, Rate.MODEL)

    def alone(self, name: str) -> bool:
        """Whether no more than one node, and no output, reads a value."""
        return name not in self._graph.outputs and len(self.readers(name)) <= 1

    def readers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read a value in the graph before the current walk over its nodes."""
        return self._graph.consumers.get(name, ())

    def note_constant(self, name: str) -> None:
        self.infos[name] = constant_info(self.constants[name])
        self.rates[name] = Rate.MODEL

    def reshape(self, name: str, shape: Shape) -> str | None:
        """The value in another shape of as many elements, or None if the sizes cannot be told at run time."""
        if same_shape(self.shape(name), shape):
            return name
        open_sizes = sum(isinstance(size, Dim) for size in shape)
        if any(isinstance(size, int) and size == 0 for size in shape):
            return None
        if open_sizes <= 1:
            target = self.constant([-1 if isinstance(size, Dim) else size for size in shape], np.int64)
        elif self._symbols(shape):
            sizes = np.empty(len(shape), object)
            sizes[:] = shape
            target = self.add(sizes_node(sizes, self.fresh(), self._label))
        else:
            return None
        return self.node("Reshape", name, target, allowzero=0)

    def slice(self, name: str, axis: int, begin: int, end: int) -> str:
        """The positions from begin to end along an axis; the value itself if these are all."""
        shape = self.shape(name)
        if shape is not None and begin == 0 and isinstance(shape[axis], int) and shape[axis] == end:
            return name
        bounds = [self.constant([value], np.int64) for value in (begin, end, axis)]
        return self.node("Slice", name, *bounds)

    def concat(self, names: Sequence[str], axis: int) -> str:
        return names[0] if len(names) == 1 else self.node("Concat", *names, axis=axis)

    def note(self, node: Node) -> None:
        infos, coupled = analyze_node(node, self.infos)
        if coupled:
            self._coupled.add(node)
        rates = {name: self.rate(name) for name in node.inputs}
        rate = rate_of(node, rates, coupled and not self._graph.static_rows)
        for name, info in zip(node.outputs, infos, strict=True):
            if name:
                self.infos[name] = info
                self.rates[name] = rate


Rule: TypeAlias = Callable[[Node, Site], "str | tuple[str, ...] | None"]
"""Gives the values that stand for the node's outputs, made by the site or older, or None."""

Rules: TypeAlias = Mapping[str, tuple[Rule, ...]]
"""The rules for each operator."""


class _Round(Site):
    """One walk over the nodes, in order; what a rule makes is looked at in its turn."""

    def __init__(self, graph: Graph, rules: Rules, sides: Sides | None) -> None:
        super().__init__(graph, sides)
        self.rules = rules
        self.changed = False
        self._renamed: dict[str, str] = {}
        self._nodes: list[Node] = []

    def run(self) -> Graph:
        queue = deque(self._graph.nodes)
        budget = _APPLICATIONS_PER_NODE * (len(queue) + 10)
        while queue:
            old = queue.popleft()
            node = rename_inputs(old, self._renamed)
            if node is not old:
                self.note(node)
            made = self._apply(node) if budget > 0 else None
            if made is None:
                self._nodes.append(node)
                self.producers.update((name, node) for name in node.outputs if name)
            else:
                budget -= 1
                self.changed = True
                queue.extendleft(reversed(made))
        return self._graph.with_(nodes=tuple(self._nodes), constants=self.constants)

    def _apply(self, node: Node) -> list[Node] | None:
        """The nodes that replace a node, or None if no rule fits."""
        for rule in self.rules.get(node.op, ()):
            base = next(name for name in node.outputs if name)
            self.begin(base, base)
            self.nodes = []
            result = rule(node, self)
            if result is None:
                continue
            results = (result,) if isinstance(result, str) else result
            return self._named(node, results)
        return None

    def _named(self, node: Node, results: Sequence[str]) -> list[Node]:
        """The pending nodes, so that they make the outputs of the node they replace."""
        pending = self.nodes
        places = {made.outputs[0]: place for place, made in enumerate(pending)}
        taken: dict[str, str] = {}
        for output, result in zip(node.outputs, results, strict=True):
            if not output:
                continue
            if result in places and result not in taken:
                taken[result] = output
            elif output in self._graph.outputs:
                pending.append(Node("Identity", (taken.get(result, result),), (output,), name=node.name))
            else:
                self._renamed[output] = taken.get(result, result)
        named = []
        for made in pending:
            outputs = tuple(taken.get(name, name) for name in made.outputs)
            changed = Node(
                made.op,
                tuple(taken.get(name, name) for name in made.inputs),
                outputs,
                made.attributes,
                name=node.name,
            )
            self.note(changed)
            named.append(changed)
        return named


def apply_rules(graph: Graph, rules: Rules, sides: Sides | None = None) -> Graph:
    """Rewrite a graph by rules until none fits any more.

    Parameters
    ----------
    graph : Graph
    rules : mapping of str to tuple of Rule
        For each operator the rules, of which the first that fits is taken.
    sides : Sides, optional
        How the inputs are split, for rules that ask for rates.
    """
    for _ in range(_MAX_ROUNDS):
        walk = _Round(graph, rules, sides)
        after = walk.run()
        if not walk.changed:
            return graph
        graph = remove_dead(after)
    return graph


def joined(*groups: Rules) -> Rules:
    """All rules of several groups, earlier groups first."""
    found: dict[str, tuple[Rule, ...]] = {}
    for group in groups:
        for op, rules in group.items():
            found[op] = (*found.get(op, ()), *rules)
    return found


def for_ops(ops: Iterable[str], *rules: Rule) -> Rules:
    """The same rules for several operators."""
    return dict.fromkeys(ops, rules)


def whole_axis(size: Size, begin: int, end: int) -> bool:
    """Whether a range from begin takes all of an axis, whatever its size."""
    return begin == 0 and (end == size if isinstance(size, int) else end >= 1 << 30)
